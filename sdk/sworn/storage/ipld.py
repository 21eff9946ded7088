"""Content ids and file nodes of IPFS, decoded from bytes that have been compared with their hash.

Only what files need: sha2-256, the codecs ``raw`` and ``dag-pb``, and UnixFS. Written by hand because the libraries
that read content ids either are no longer kept or bring several dependencies, for what are sixty lines here.

https://github.com/multiformats/cid, https://ipld.io/specs/codecs/dag-pb/spec/, https://specs.ipfs.tech/unixfs/
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from sworn.errors import CodecError

_RAW: Final = 0x55
_DAG_PB: Final = 0x70
#: sha2-256, 32 bytes.
_SHA256: Final = b"\x12\x20"
_BASE58: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
#: Longer than any content id that is read here, in any base.
_MAX_CID_CHARACTERS: Final = 100
#: 63 bits, as the specification of unsigned varints has it.
_MAX_VARINT_BYTES: Final = 9


class NodeKind(IntEnum):
    """What a UnixFS node is."""

    RAW = 0
    DIRECTORY = 1
    FILE = 2
    METADATA = 3
    SYMLINK = 4
    #: A directory spread over several nodes.
    SHARDED_DIRECTORY = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Cid:
    """A content id: how a block is read, and its sha256."""

    codec: int
    digest: bytes

    def __str__(self) -> str:
        packed = bytes((1, self.codec)) + _SHA256 + self.digest
        return "b" + base64.b32encode(packed).decode().lower().rstrip("=")

    def names(self, block: bytes) -> bool:
        """Whether the block is the one that this id names."""
        return hashlib.sha256(block).digest() == self.digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A child of a node."""

    cid: Cid
    name: str
    #: Bytes of file content below it, as its parent says; None in a directory.
    size: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A block that has been read."""

    kind: NodeKind
    #: File content that lies in this very block, before that of the links.
    data: bytes = b""
    links: tuple[Link, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of the file below this node."""
        return len(self.data) + sum(link.size or 0 for link in self.links)

    @property
    def is_file(self) -> bool:
        """Whether it is a file or a part of one."""
        return self.kind in (NodeKind.FILE, NodeKind.RAW)


def parse_cid(text: str) -> Cid:
    """A content id in base58 (version 0 and 1), base32 or base16. Raises `CodecError`."""
    if not text or len(text) > _MAX_CID_CHARACTERS:
        raise CodecError("not a content id")
    if text.startswith("Qm"):
        return read_cid(_base58(text))
    try:
        if text[0] == "b":
            return read_cid(base64.b32decode(text[1:].upper() + "=" * (-len(text[1:]) % 8)))
        if text[0] == "f":
            return read_cid(bytes.fromhex(text[1:]))
    except (binascii.Error, ValueError) as error:
        raise CodecError("the content id is mistyped") from error
    if text[0] == "z":
        return read_cid(_base58(text[1:]))
    raise CodecError("the content id is in a base other than 58, 32 and 16")


def read_cid(data: bytes) -> Cid:
    """A content id in its binary form. Raises `CodecError`."""
    if data.startswith(_SHA256) and len(data) == len(_SHA256) + 32:
        return Cid(codec=_DAG_PB, digest=data[2:])
    version, at = _varint(data, 0)
    codec, at = _varint(data, at)
    if version != 1 or codec not in (_RAW, _DAG_PB):
        raise CodecError(f"a content id of version {version} and codec {codec:#x}: only files are read")
    # An identity hash is no hash: the block would be whatever the id says.
    if data[at : at + 2] != _SHA256 or len(data) != at + 34:
        raise CodecError("a content id by another hash than sha2-256")
    return Cid(codec=codec, digest=data[at + 2 :])


def read_node(cid: Cid, block: bytes) -> Node:
    """What a block holds. Raises `CodecError` for anything that is no UnixFS node."""
    if cid.codec == _RAW:
        return Node(kind=NodeKind.RAW, data=block)
    links: list[tuple[Cid, str]] = []
    content: bytes | None = None
    for number, value in _fields(block):
        if number == 2 and isinstance(value, bytes):
            links.append(_link(value))
        elif number == 1 and isinstance(value, bytes) and content is None:
            content = value
        else:
            raise CodecError("not a dag-pb node")
    if content is None:
        raise CodecError("a dag-pb node without UnixFS data")
    return _unixfs(content, links)


def _link(data: bytes) -> tuple[Cid, str]:
    cid, name = None, ""
    for number, value in _fields(data):
        if number == 1 and isinstance(value, bytes):
            cid = read_cid(value)
        elif number == 2 and isinstance(value, bytes):
            name = value.decode("utf-8", "replace")
    if cid is None:
        raise CodecError("a link to nothing")
    return cid, name


def _unixfs(content: bytes, links: list[tuple[Cid, str]]) -> Node:
    kind, data, stated, sizes = None, b"", None, list[int]()
    for number, value in _fields(content):
        if number == 1 and isinstance(value, int):
            kind = value
        elif number == 2 and isinstance(value, bytes):
            data = value
        elif number == 3 and isinstance(value, int):
            stated = value
        elif number == 4:
            sizes += [value] if isinstance(value, int) else _packed(value)
    if kind is None or kind not in NodeKind.__members__.values():
        raise CodecError("a UnixFS node of an unknown kind")
    kind = NodeKind(kind)
    if kind not in (NodeKind.FILE, NodeKind.RAW):
        return Node(kind=kind, links=tuple(Link(cid=cid, name=name, size=None) for cid, name in links))
    if len(sizes) != len(links):
        raise CodecError("a file node that does not say how large its parts are")
    pairs = zip(links, sizes, strict=True)
    node = Node(kind=kind, data=data, links=tuple(Link(cid=cid, name=name, size=size) for (cid, name), size in pairs))
    if stated not in (None, node.size):
        raise CodecError("a file node whose parts do not add up")
    return node


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield number, value
        elif wire == 2:
            size, at = _varint(data, at)
            if at + size > len(data):
                raise CodecError("a field that is longer than its block")
            yield number, data[at : at + size]
            at += size
        else:
            raise CodecError("a field of a kind that file nodes do not have")


def _packed(data: bytes) -> list[int]:
    values, at = [], 0
    while at < len(data):
        value, at = _varint(data, at)
        values.append(value)
    return values


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for index, byte in enumerate(data[at : at + _MAX_VARINT_BYTES]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, at + index + 1
    raise CodecError("a number without an end")


def _base58(text: str) -> bytes:
    value = 0
    for character in text:
        digit = _BASE58.find(character)
        if digit < 0:
            raise CodecError("the content id is mistyped")
        value = value * 58 + digit
    zeros = len(text) - len(text.lstrip("1"))
    return bytes(zeros) + value.to_bytes((value.bit_length() + 7) // 8, "big")
