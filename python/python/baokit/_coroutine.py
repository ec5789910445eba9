"""The coroutine behind every method of AsyncClient."""

import asyncio
from functools import partial


async def run(start):
    """Begins the call when it is awaited, and drops it when nobody waits any more.

    The arguments are inside `start`, out of sight of tracebacks.
    """
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    # The result comes from another thread.
    abort = start(partial(loop.call_soon_threadsafe, _settle, future))
    try:
        return await future
    finally:
        abort()
        del future  # Or an exception, its traceback with this frame, and the future would hold each other.


def _settle(future, result, error):
    if future.done():
        return  # It was cancelled meanwhile.
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
