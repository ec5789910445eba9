"""The coroutine behind every method of AsyncClient."""


async def run(start):
    """Begins the call when it is awaited. The arguments are inside `start`, out of sight of tracebacks."""
    return await start()
