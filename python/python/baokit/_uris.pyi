# Types of URIs and pointers.

from typing import final

from typing_extensions import Self

__all__ = ["SecretUri", "SecretPrefix", "SecretPointer", "SecretRef"]

@final
class SecretUri(str):
    provider: str
    mount: str
    path: str
    fragment: str | None
    version: int | None
    def __new__(cls, text: str, *, accept_legacy: bool = False, mount: str | None = None) -> Self: ...
    @classmethod
    def parse(cls, text: str, *, accept_legacy: bool = False, mount: str | None = None) -> Self: ...

@final
class SecretPrefix(str):
    provider: str
    mount: str
    path: str
    is_wildcard: bool
    def __new__(
        cls, text: str, *, accept_legacy: bool = False, wildcard: bool = False, mount: str | None = None
    ) -> Self: ...
    @classmethod
    def parse(
        cls, text: str, *, accept_legacy: bool = False, wildcard: bool = False, mount: str | None = None
    ) -> Self: ...

@final
class SecretPointer(str):
    file: tuple[str, str] | None
    credentials_id: str | None
    def __new__(cls, text: str) -> Self: ...
    @classmethod
    def parse(cls, text: str) -> Self: ...

@final
class SecretRef:
    @staticmethod
    def parse(text: str) -> SecretUri | SecretPointer: ...
