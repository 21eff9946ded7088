"""Artifacts from IPFS, block by block through gateways that are not trusted.

A gateway is asked for single blocks in raw form (https://specs.ipfs.tech/http-gateways/trustless-gateway/), each of
which is compared with the hash that names it before anything in it is looked at.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from itertools import islice
from typing import Final
from urllib.parse import unquote

from sworn.errors import ArtifactTooLarge, ArtifactUnavailable, CodecError
from sworn.storage.fetching import Fetcher, mask_own_uri, mask_uri, split_uri
from sworn.storage.ipld import Cid, Link, Node, NodeKind, parse_cid, read_node
from sworn.storage.web import HttpFetcher, origins_of

#: Asked where no gateways are configured. They see what is fetched; what they answer is verified.
DEFAULT_GATEWAYS: Final = ("https://trustless-gateway.link", "https://ipfs.io")
#: A single block, as it is hashed.
_RAW: Final = "application/vnd.ipld.raw"
#: The largest block that peers exchange: https://specs.ipfs.tech/bitswap-protocol/#block-sizes
_MAX_BLOCK_BYTES: Final = 2 << 20
#: Files of 256 MiB have a depth of 3 in the usual layout; the other layout is deeper.
_MAX_DEPTH: Final = 16
#: 256 MiB in blocks of 4 KiB.
_MAX_BLOCKS: Final = 1 << 16
#: Blocks that are asked for at once; times depth and block size, the most memory that a fetch takes.
_AHEAD: Final = 4


class IpfsFetcher:
    """Streams ``ipfs://<content id>[/path]``. Times in seconds.

    Gateways are tried one after the other, for each block, the last one that failed last. ``private`` says that they
    may lie in private networks, as one's own do; where they redirect to may not.
    """

    def __init__(
        self,
        gateways: Sequence[str] = DEFAULT_GATEWAYS,
        *,
        private: bool = False,
        max_bytes: int,
        block_timeout_s: float = 30.0,
        total_timeout_s: float = 600.0,
        fetcher: Fetcher | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        private_origins = origins_of(gateways) if private else frozenset()
        self._fetcher = fetcher or HttpFetcher(
            # Some gateways go by the header alone, some by the query alone.
            total_timeout_s=block_timeout_s,
            private_origins=private_origins,
            shown=mask_own_uri,
            accept=_RAW,
        )
        self._gateways = [gateway.rstrip("/") for gateway in gateways]
        self._max_bytes = max_bytes
        self._total_timeout_s = total_timeout_s
        self._clock = clock
        self._lock = threading.Lock()

    @property
    def schemes(self) -> frozenset[str]:
        """``ipfs``."""
        return frozenset({"ipfs"})

    def open(self, uri: str) -> Generator[bytes, None, None]:
        """Chunks of the file. Raises `ArtifactUnavailable`, and `ArtifactTooLarge` as soon as it is known."""
        walk = _Walk(read=self._block, deadline=self._clock() + self._total_timeout_s, clock=self._clock)
        try:
            cid, path = _address(uri)
            node = walk.find(cid, path)
            if node.size > self._max_bytes:
                raise ArtifactTooLarge(f"{mask_uri(uri)}: {node.size} bytes, more than {self._max_bytes}")
            yield from walk.content(node, size=node.size, depth=0)
        except CodecError as error:
            raise ArtifactUnavailable(f"{mask_uri(uri)}: {error}") from error
        except ArtifactUnavailable as error:
            raise ArtifactUnavailable(f"{mask_uri(uri)}: {error}") from error
        finally:
            walk.close()

    def _block(self, cid: Cid) -> bytes:
        """A block from the first gateway that has it. Raises `ArtifactUnavailable`."""
        said: list[str] = []
        for gateway in tuple(self._gateways):
            try:
                block = self._read(f"{gateway}/ipfs/{cid}?format=raw")
                # INVARIANT: nothing is decoded or passed on that its content id does not name.
                if cid.names(block):
                    return block
                said.append(f"{mask_own_uri(gateway)} answered with other bytes")
            except ArtifactUnavailable as error:
                said.append(str(error))
            self._demote(gateway)
        raise ArtifactUnavailable("; ".join(said) or "no gateway is configured")

    def _read(self, url: str) -> bytes:
        block = bytearray()
        with closing(self._fetcher.open(url)) as chunks:
            for chunk in chunks:
                block += chunk
                if len(block) > _MAX_BLOCK_BYTES:
                    raise ArtifactUnavailable(f"{mask_own_uri(url)}: more than {_MAX_BLOCK_BYTES} bytes for one block")
        return bytes(block)

    def _demote(self, gateway: str) -> None:
        with self._lock:
            self._gateways.remove(gateway)
            self._gateways.append(gateway)


class _Walk:
    """One way through a file's blocks, bounded in depth, number and time."""

    def __init__(
        self, *, read: Callable[[Cid], bytes], deadline: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._read = read
        self._deadline = deadline
        self._clock = clock
        self._blocks = 0
        self._pool = ThreadPoolExecutor(max_workers=_AHEAD, thread_name_prefix="ipfs")

    def close(self) -> None:
        """Asks for nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def find(self, cid: Cid, path: Sequence[str]) -> Node:
        """The file at the end of a path. Raises `CodecError`, `ArtifactUnavailable`."""
        node = read_node(cid, self._ask(cid).result())
        for name in path:
            if node.kind is NodeKind.SHARDED_DIRECTORY:
                raise CodecError("the directory is spread over several blocks: name the content id of the file itself")
            links = [link for link in node.links if link.name == name]
            if node.kind is not NodeKind.DIRECTORY or len(links) != 1:
                raise CodecError(f"there is no single {name!r} in it")
            node = read_node(links[0].cid, self._ask(links[0].cid).result())
        return node

    def content(self, node: Node, *, size: int, depth: int) -> Generator[bytes, None, None]:
        """The bytes below a node. Raises `CodecError`, `ArtifactUnavailable`."""
        if not node.is_file:
            raise CodecError(f"it is no file but a {node.kind.name.lower().replace('_', ' ')}")
        if depth > _MAX_DEPTH:
            raise CodecError(f"its blocks are nested deeper than {_MAX_DEPTH}")
        # INVARIANT: a node gives as many bytes as its parent said; so no file gives more than its root says.
        if node.size != size:
            raise CodecError("a block that is larger or smaller than its parent says")
        if node.data:
            yield node.data
        for link, block in self._ahead(node.links):
            yield from self.content(read_node(link.cid, block), size=link.size or 0, depth=depth + 1)

    def _ahead(self, links: Sequence[Link]) -> Iterator[tuple[Link, bytes]]:
        """Blocks in order, the next ones under way already."""
        rest = iter(links)
        waiting: deque[tuple[Link, Future[bytes]]] = deque()
        while True:
            waiting.extend((link, self._ask(link.cid)) for link in islice(rest, _AHEAD - len(waiting)))
            if not waiting:
                return
            link, block = waiting.popleft()
            yield link, block.result()

    def _ask(self, cid: Cid) -> Future[bytes]:
        # SAFETY: hashes allow no cycles, but one block may be named a thousand times by each of a thousand others.
        self._blocks += 1
        if self._blocks > _MAX_BLOCKS:
            raise CodecError(f"more than {_MAX_BLOCKS} blocks")
        if self._clock() > self._deadline:
            raise ArtifactUnavailable("not complete in time")
        return self._pool.submit(self._read, cid)


def _address(uri: str) -> tuple[Cid, tuple[str, ...]]:
    parts = split_uri(uri)
    path = tuple(unquote(part) for part in parts.path.split("/") if part)
    if any(part in (".", "..") for part in path):
        raise CodecError("a path that leads upwards")
    return parse_cid(parts.netloc), path
