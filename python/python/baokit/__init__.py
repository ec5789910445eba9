"""A client for OpenBao's secrets: read, write, rotate, delete, list versions.

    from baokit import Client

    with Client.from_env() as client:                       # OPENBAO_URL, OPENBAO_TOKEN, …
        token = client.read("openbao+kv2://secret/app/api#token")
        connect(token.expose())                             # the only way to the value

`AsyncClient` is the same for asyncio. Everything is carried out by the Rust half, baokit._baokit.
"""

from . import _answers, _baokit, _errors, _uris
from ._answers import *
from ._baokit import *
from ._baokit import __version__
from ._errors import *
from ._uris import *

# The exception classes come from core's table of codes, so they are not listed here.
_NAMES = [*_answers.__all__, *_baokit.__all__, *_errors.__all__, *_uris.__all__]
__all__ = sorted(name for name in _NAMES if name[0] != "_")
