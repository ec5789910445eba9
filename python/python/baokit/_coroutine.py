"""The coroutine behind every method of AsyncClient."""


async def run(call):
    """Begins the call when it is awaited. The arguments are inside `call`, out of sight of tracebacks."""
    return await call.start()
