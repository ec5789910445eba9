"""An OpenBao-compatible server in memory, for your own tests.

    from baokit.testing import DevServer

    with DevServer() as server, Client.from_env(server.env) as client:
        client.write("openbao+kv2://secret/app", {"token": "first"})
        server.advance(3600)                                # its tokens are an hour older
        assert server.requests[0].target == "/v1/secret/data/app"

In pytest the fixture `baokit_server` is one, new for each test.
"""

from ._answers import Request
from ._baokit import DevServer

__all__ = ["DevServer", "Request"]
