# Types of core's table of codes, and of the exception classes, which baokit/_errors.py makes from it.

from typing import Final, TypedDict

__all__ = ["ERROR_CODES", "BaokitError", "CallerError", "PolicyError", "ServerError", "TransportError", "InternalError"]

class ErrorCode(TypedDict):
    """A row of the table of codes."""

    family: str
    http_status: int
    retryable: bool
    advice: str

ERROR_CODES: Final[dict[str, ErrorCode]]

class BaokitError(Exception):
    code: str
    family: str
    http_status: int
    retryable: bool
    advice: str
    subject: str | None
    node: str | None
    tries: int

class CallerError(BaokitError): ...
class PolicyError(BaokitError): ...
class ServerError(BaokitError): ...
class TransportError(BaokitError): ...
class InternalError(BaokitError): ...
