"""Files as IPFS stores them, written independently of the reader, and a gateway that serves or falsifies them."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field

from sworn.errors import ArtifactUnavailable

RAW, DAG_PB = 0x55, 0x70
FILE, DIRECTORY, SYMLINK, SHARDED = 2, 1, 4, 5


def varint(value: int) -> bytes:
    """An unsigned varint."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


def tagged(number: int, value: int | bytes) -> bytes:
    """A protobuf field."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def cid_bytes(codec: int, block: bytes) -> bytes:
    """The binary content id of a block."""
    return bytes((1, codec, 0x12, 0x20)) + hashlib.sha256(block).digest()


def cid_text(binary: bytes) -> str:
    """A content id in base32."""
    return "b" + base64.b32encode(binary).decode().lower().rstrip("=")


def unixfs(kind: int, *, data: bytes = b"", sizes: Sequence[int] = (), size: int | None = None) -> bytes:
    """The payload of a UnixFS node; ``size`` is what it says of itself."""
    total = len(data) + sum(sizes) if size is None else size
    fields = [tagged(1, kind), *([tagged(2, data)] if data else []), tagged(3, total)]
    return b"".join(fields + [tagged(4, each) for each in sizes])


def node(payload: bytes, links: Sequence[tuple[bytes, str]] = ()) -> bytes:
    """A dag-pb block."""
    children = [tagged(2, tagged(1, cid) + tagged(2, name.encode()) + tagged(3, 1)) for cid, name in links]
    return b"".join(children) + tagged(1, payload)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dag:
    """Blocks by content id."""

    blocks: dict[str, bytes] = field(default_factory=dict)

    def add(self, codec: int, block: bytes) -> bytes:
        """Keeps a block and returns its binary content id."""
        binary = cid_bytes(codec, block)
        self.blocks[cid_text(binary)] = block
        return binary

    def file(self, content: bytes, *, chunk: int = 1000, fanout: int = 3, raw: bool = True) -> bytes:
        """A file as a balanced tree."""
        parts = [content[at : at + chunk] for at in range(0, len(content), chunk)] or [b""]
        level = [
            (self.add(RAW, part) if raw else self.add(DAG_PB, node(unixfs(FILE, data=part))), len(part))
            for part in parts
        ]
        while len(level) > 1:
            level = [self.parent(level[at : at + fanout]) for at in range(0, len(level), fanout)]
        return level[0][0]

    def parent(self, children: Sequence[tuple[bytes, int]]) -> tuple[bytes, int]:
        """A file node over others, with its size."""
        sizes = [size for _, size in children]
        block = node(unixfs(FILE, sizes=sizes), [(cid, "") for cid, _ in children])
        return self.add(DAG_PB, block), sum(sizes)

    def directory(self, entries: Sequence[tuple[bytes, str]], *, kind: int = DIRECTORY) -> bytes:
        """A directory node."""
        return self.add(DAG_PB, node(unixfs(kind, size=0), entries))


@dataclass(slots=True, kw_only=True)
class Gateways:
    """A fetcher in place of the network: ``answers`` by host name says what a gateway makes of a true block."""

    dag: Dag
    answers: dict[str, Callable[[bytes], bytes]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    @property
    def schemes(self) -> frozenset[str]:
        """As of the real one."""
        return frozenset({"https"})

    def open(self, uri: str) -> Generator[bytes, None, None]:
        """A block, as this gateway serves it."""
        self.asked.append(uri)
        host, _, rest = uri.removeprefix("https://").partition("/ipfs/")
        block = self.dag.blocks.get(rest.removesuffix("?format=raw"))
        if block is None:
            raise ArtifactUnavailable(f"{host}: answered 404")
        yield self.answers.get(host, bytes)(block)
