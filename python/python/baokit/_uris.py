"""URIs and pointers: text that was parsed, with its parts.

Each is a str in canonical form, so it compares, hashes, sorts and prints as one, and is accepted
wherever a URI is. Making one parses, by core's rules; there is no other way to one.
"""

from . import _baokit

__all__ = ["SecretUri", "SecretPrefix", "SecretPointer", "SecretRef"]


class _Parsed(str):
    __slots__ = ()

    def __repr__(self):
        return f"{type(self).__name__}({str.__repr__(self)})"

    def __reduce__(self):
        return self._of, (str(self), *(getattr(self, name) for name in self.__slots__))

    @classmethod
    def parse(cls, text, **options):
        """Parses a text; see the class for the options."""
        return cls(text, **options)

    @classmethod
    def _of(cls, text, *parts):
        made = str.__new__(cls, text)
        for name, part in zip(cls.__slots__, parts):
            object.__setattr__(made, name, part)
        return made

    def __setattr__(self, name, value):
        raise AttributeError(f"a {type(self).__name__} can't be changed")


class SecretUri(_Parsed):
    """The canonical URI of one secret, or of one key in it: provider, mount, path, fragment and version.

    A mount that is given beside the text is always an error, since a URI has its own.
    """

    __slots__ = ("provider", "mount", "path", "fragment", "version")

    def __new__(cls, text, *, accept_legacy=False, mount=None):
        return cls._of(*_baokit._parse_uri(text, accept_legacy, mount))


class SecretPrefix(_Parsed):
    """A prefix, which a list, a search or a policy names: provider, mount, path, and whether it ends in /*."""

    __slots__ = ("provider", "mount", "path", "is_wildcard")

    def __new__(cls, text, *, accept_legacy=False, wildcard=False, mount=None):
        return cls._of(*_baokit._parse_prefix(text, accept_legacy, wildcard, mount))


class SecretPointer(_Parsed):
    """A pointer to a credential outside any mount: file:store:name (file) or db:credentials:uuid (credentials_id)."""

    __slots__ = ("file", "credentials_id")

    def __new__(cls, text):
        return cls._of(*_baokit._parse_pointer(text))


class SecretRef:
    """The entrance for texts that may be a pointer or a URI."""

    @staticmethod
    def parse(text):
        """Parses a text into a SecretPointer or a SecretUri."""
        is_uri, canonical = _baokit._parse_ref(text)
        return SecretUri(canonical) if is_uri else SecretPointer(canonical)
