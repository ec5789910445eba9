"""Reads what a WebAssembly module imports: its import section, and nothing else.

The format: a magic number and a version, then sections, each an id, a length and its content. Numbers
are LEB128, names are a length and UTF-8. An import is a module, a name, a kind and the kind's type.
"""

IMPORT_SECTION = 2
FUNCTION, TABLE, MEMORY, GLOBAL, TAG = range(5)


def imports(module):
    """The imports of a module (bytes), each as a pair (module, name)."""
    if module[:8] != b"\0asm\x01\0\0\0":
        raise ValueError("this is no WebAssembly module of version 1")
    at = 8
    while at < len(module):
        section = module[at]
        length, at = _number(module, at + 1)
        if section == IMPORT_SECTION:
            return _read(module, at)
        at += length
    return []


def _read(module, at):
    count, at = _number(module, at)
    found = []
    for _ in range(count):
        space, at = _name(module, at)
        name, at = _name(module, at)
        found.append((space, name))
        kind, at = module[at], at + 1
        if kind == FUNCTION:
            _, at = _number(module, at)
        elif kind == TABLE:
            at = _limits(module, at + 1)
        elif kind == MEMORY:
            at = _limits(module, at)
        elif kind == GLOBAL:
            at += 2
        elif kind == TAG:
            _, at = _number(module, at + 1)
        else:
            raise ValueError(f"an import of the unknown kind {kind}")
    return found


def _limits(module, at):
    has_maximum = module[at] & 1
    _, at = _number(module, at + 1)
    return _number(module, at)[1] if has_maximum else at


def _name(module, at):
    length, at = _number(module, at)
    return module[at : at + length].decode(), at + length


def _number(module, at):
    value = shift = 0
    while True:
        byte, at = module[at], at + 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at
