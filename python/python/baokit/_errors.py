"""Core's table of codes, and the exception classes made from it: one base, and one class for each family."""

from ._baokit import _error_codes

_COLUMNS = ("family", "http_status", "retryable", "advice")
ERROR_CODES = {code: dict(zip(_COLUMNS, row)) for code, *row in _error_codes()}


class BaokitError(Exception):
    """What failed (code), who has to act (family), where (subject, node, tries) and what to do next (advice)."""

    # An error that Python code makes itself has nothing of this.
    code = family = http_status = retryable = advice = subject = node = tries = None


def _class(family):
    # A bug's class has the name that such errors have in other libraries.
    name = "InternalError" if family == "bug" else f"{family.capitalize()}Error"
    doc = f"An error of the family {family}; ERROR_CODES lists the codes."
    return type(name, (BaokitError,), {"__doc__": doc, "__module__": "baokit"})


BaokitError.__module__ = "baokit"
_CLASSES = {family: _class(family) for family in dict.fromkeys(row["family"] for row in ERROR_CODES.values())}
globals().update({kind.__name__: kind for kind in _CLASSES.values()})
__all__ = ["ERROR_CODES", "BaokitError", *(kind.__name__ for kind in _CLASSES.values())]


def make(message, code, subject, node, tries):
    """The exception for an error of core's; called by the Rust half."""
    row = ERROR_CODES[code]
    error = _CLASSES[row["family"]](message)
    vars(error).update(row, code=code, subject=subject, node=node, tries=tries)
    return error
