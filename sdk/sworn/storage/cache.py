"""A directory of artifacts by sha256, filled from wherever they can be had."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, closing
from pathlib import Path

from sworn.errors import (
    ArtifactCorrupt,
    ArtifactError,
    ArtifactTooLarge,
    ArtifactUnavailable,
    ConfigurationError,
)
from sworn.storage.fetching import Fetcher, mask_own_uri
from sworn.storage.files import FileFetcher
from sworn.storage.ipfs import DEFAULT_GATEWAYS, IpfsFetcher
from sworn.storage.mirrors import Distrust, Outlay, Place, Tardiness, check_template, fetched, places_of
from sworn.storage.pins import BY_HAND
from sworn.storage.shelf import Entry, Shelf
from sworn.storage.web import HttpFetcher, origins_of

#: Default limit on the size of one artifact.
MAX_ARTIFACT_BYTES = 256 << 20
#: Default limit on the time of one try.
TRY_TIMEOUT_S = 600.0

_HASH_BYTES = 32


class CachedArtifactStore:
    """`ArtifactStore` over a directory that processes may share; see `Shelf` for what lies in it.

    Looked for in the cache, then at ``mirrors`` (addresses of one's own, with ``{sha256}`` in the path), then at the
    URIs that come with the request. Those come from strangers: ``allow_files`` lets them name local files,
    ``allow_private_hosts`` hosts that are not on the public internet, and ``fetchers`` add schemes or replace the
    built-in ones; ``own_fetchers`` do so for ``mirrors``. ``gateways`` are those for IPFS that the operator has named.
    """

    def __init__(
        self,
        root: Path,
        *,
        max_bytes: int = MAX_ARTIFACT_BYTES,
        limit_bytes: int | None = None,
        mirrors: Sequence[str] = (),
        gateways: Sequence[str] | None = None,
        fetchers: Sequence[Fetcher] = (),
        own_fetchers: Sequence[Fetcher] = (),
        allow_files: bool = False,
        allow_private_hosts: bool = False,
        timeout_s: float = TRY_TIMEOUT_S,
        distrust: Distrust | None = None,
    ) -> None:
        self.shelf = Shelf(root, max_bytes=max_bytes, limit_bytes=limit_bytes)
        self._mirrors = tuple(map(check_template, mirrors))
        self._timeout_s = timeout_s
        self._distrust = distrust or Distrust()
        self._tardiness = Tardiness()
        ipfs = IpfsFetcher(
            DEFAULT_GATEWAYS if gateways is None else gateways,
            private=gateways is not None,
            max_bytes=max_bytes,
            total_timeout_s=timeout_s,
        )
        web = HttpFetcher(allow_private_hosts=allow_private_hosts, total_timeout_s=timeout_s)
        strangers: list[Fetcher] = [web, ipfs, *([FileFetcher()] if allow_files else [])]
        own_web = HttpFetcher(private_origins=origins_of(self._mirrors), total_timeout_s=timeout_s, shown=mask_own_uri)
        self._published = _by_scheme(*strangers, *fetchers)
        self._own = _by_scheme(own_web, ipfs, FileFetcher(), *own_fetchers)

    def get(self, artifact_hash: bytes, *, uris: tuple[str, ...] = ()) -> bytes:
        """The artifact's bytes, verified: from the cache, else from the first place that has them.

        Raises `ArtifactUnavailable`, `ArtifactCorrupt` and `ArtifactTooLarge` as `ArtifactStore` says, and plain
        `ArtifactError` when the cache's directory cannot be used.
        """
        if len(artifact_hash) != _HASH_BYTES:
            raise ConfigurationError(f"an artifact hash has {_HASH_BYTES} bytes, not {len(artifact_hash)}")
        outcomes: list[ArtifactError] = []
        try:
            cached = self.shelf.read(artifact_hash)
            if cached is not None:
                return cached
        except (ArtifactCorrupt, ArtifactTooLarge) as error:
            outcomes.append(error)
        outlay = Outlay(self._tardiness)
        for place in self._tardiness.sorted(places_of(artifact_hash, templates=self._mirrors, published=uris)):
            try:
                with outlay.charged(place):
                    self._fetch(place, artifact_hash)
                found = self.shelf.read(artifact_hash)
                if found is not None:
                    return found
            except (ArtifactUnavailable, ArtifactCorrupt, ArtifactTooLarge) as error:
                outcomes.append(error)
        raise _verdict(artifact_hash, outcomes)

    def put(self, artifact: bytes) -> bytes:
        """Stores bytes and returns their sha256. Raises `ArtifactTooLarge` and `ArtifactError`."""
        artifact_hash = hashlib.sha256(artifact).digest()
        self.shelf.write([artifact], artifact_hash, label="the artifact")
        return artifact_hash

    def verify(self, uri: str, artifact_hash: bytes, *, own: bool = False) -> None:
        """Fetches from one address, as strangers would, or with ``own`` as the operator does, whatever is cached.

        Raises `ArtifactUnavailable`, `ArtifactCorrupt`, `ArtifactTooLarge`.
        """
        self._fetch(Place(uri=uri, own=own), artifact_hash)

    def pin(self, artifact_hash: bytes, *, holder: str = BY_HAND) -> None:
        """Keeps an artifact in the cache, now or once it is there. Raises `ArtifactError`."""
        self.shelf.pins.add(holder, (artifact_hash,))

    def unpin(self, artifact_hash: bytes, *, holder: str = BY_HAND) -> None:
        """Takes a pin off. Raises `ArtifactError`."""
        self.shelf.pins.remove(holder, (artifact_hash,))

    def held(self, holder: str, hashes: Iterable[bytes]) -> AbstractContextManager[None]:
        """Keeps what a process serves; see `Pins.held`."""
        return self.shelf.pins.held(holder, hashes)

    def entries(self) -> tuple[Entry, ...]:
        """What is cached, the one that was used last first. Raises `ArtifactError`."""
        return self.shelf.entries()

    def _fetch(self, place: Place, artifact_hash: bytes) -> None:
        shown = place.shown
        if self._distrust.has(place.uri, artifact_hash):
            raise ArtifactCorrupt(f"{shown}: gave wrong bytes a moment ago, and is not asked again for now")
        fetchers = self._own if place.own else self._published
        with closing(fetched(place, fetchers, timeout_s=self._timeout_s)) as chunks:
            try:
                self.shelf.write(chunks, artifact_hash, label=shown)
            except (ArtifactCorrupt, ArtifactTooLarge) as error:
                self._distrust.add(place, artifact_hash, reason=str(error))
                raise


def _by_scheme(*fetchers: Fetcher) -> dict[str, Fetcher]:
    """The last one wins."""
    return {scheme: fetcher for fetcher in fetchers for scheme in fetcher.schemes}


def _verdict(artifact_hash: bytes, outcomes: Sequence[ArtifactError]) -> ArtifactError:
    kind: type[ArtifactError] = ArtifactUnavailable
    for candidate in (ArtifactCorrupt, ArtifactTooLarge):
        if any(isinstance(outcome, candidate) for outcome in outcomes):
            kind = candidate
            break
    tried = "; ".join(str(outcome) for outcome in outcomes) or "it is not cached, and no place to get it from is known"
    return kind(f"artifact {artifact_hash.hex()}: {tried}")
