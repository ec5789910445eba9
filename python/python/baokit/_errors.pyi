# Types of the exception classes, which baokit/_errors.py makes from core's table.

__all__ = ["BaokitError", "CallerError", "PolicyError", "ServerError", "TransportError", "InternalError"]

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
