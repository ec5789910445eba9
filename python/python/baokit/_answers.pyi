# Types of what operations and the dev server answer.

from typing import NamedTuple

__all__ = ["Change", "Written", "Version", "Versions", "TokenInfo", "Renewal"]

class Change(NamedTuple):
    old_version: int
    new_version: int

class Written(NamedTuple):
    version: int
    created_time: str

class Version(NamedTuple):
    version: int
    created_time: str
    deletion_time: str | None
    destroyed: bool

class Versions(NamedTuple):
    current_version: int
    versions: list[Version]
    custom_metadata: dict[str, str]

class TokenInfo(NamedTuple):
    accessor: str
    policies: list[str]
    ttl: int
    renewable: bool
    num_uses: int

class Renewal(NamedTuple):
    lease_duration: int
    renewable: bool

class Request(NamedTuple):
    method: str
    target: str
    headers: list[str]
    status: int
