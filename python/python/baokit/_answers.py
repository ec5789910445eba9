"""What operations and the dev server answer, beside secrets: plain data in tuples with names."""

from collections import namedtuple

__all__ = ["Change", "Written", "Version", "Versions", "TokenInfo", "Renewal"]

Change = namedtuple("Change", "old_version new_version", module="baokit")
Change.__doc__ = "A write or rotation that was carried out: the newest version before (0 where there was none) and now."

Written = namedtuple("Written", "version created_time", module="baokit")
Written.__doc__ = "What OpenBao says of a write: the version that was made, and when."

Version = namedtuple("Version", "version created_time deletion_time destroyed", module="baokit")
Version.__doc__ = "One version of a secret, without its data. deletion_time is None where there is none."


class Versions(namedtuple("Versions", "current_version versions custom_metadata")):
    """The versions of a secret that OpenBao still knows, oldest first."""

    __slots__ = ()
    __module__ = "baokit"

    def __repr__(self):
        # What people write into custom_metadata is their business, and no log's.
        return f"Versions(current_version={self.current_version}, versions={self.versions})"


def versions(current_version, versions, custom_metadata):
    """The same from plain data; called by the Rust half, as the classes are."""
    return Versions(current_version, [Version(**it) for it in versions], custom_metadata)


class Request(namedtuple("Request", "method target headers status")):
    """A request that reached the dev server: path and query as they came, the headers' names, the answer's status."""

    __slots__ = ()
    __module__ = "baokit.testing"

    def __repr__(self):
        return f"Request({self.method} {self.target} -> {self.status})"


TokenInfo = namedtuple("TokenInfo", "accessor policies ttl renewable num_uses", module="baokit")
TokenInfo.__doc__ = "What OpenBao says of the client's own token. The accessor names it without being one."

Renewal = namedtuple("Renewal", "lease_duration renewable", module="baokit")
Renewal.__doc__ = "What a renewal of the token came to: the seconds it lives from now on."
