"""A directory of artifacts by sha256, filled from wherever they can be had."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

from sworn.errors import (
    ArtifactCorrupt,
    ArtifactError,
    ArtifactTooLarge,
    ArtifactUnavailable,
    ConfigurationError,
)
from sworn.storage.fetching import Fetcher, mask_uri, scheme_of
from sworn.storage.files import FileFetcher
from sworn.storage.web import HttpFetcher

#: Default limit on the size of one artifact.
MAX_ARTIFACT_BYTES = 256 << 20

_HASH_BYTES = 32


class CachedArtifactStore:
    """`ArtifactStore` over a directory that processes may share.

    ``<root>/<first two hex digits>/<sha256 in hex>``; files appear there whole and verified, or not at all.
    ``allow_files`` lets URIs name local files, ``allow_private_hosts`` lets them name hosts that are not on the public
    internet: leave both off where strangers supply the URIs. ``fetchers`` add schemes or replace the built-in ones.
    """

    def __init__(
        self,
        root: Path,
        *,
        max_bytes: int = MAX_ARTIFACT_BYTES,
        fetchers: Sequence[Fetcher] = (),
        allow_files: bool = False,
        allow_private_hosts: bool = False,
    ) -> None:
        self._root = root
        self._max_bytes = max_bytes
        built_in: list[Fetcher] = [HttpFetcher(allow_private_hosts=allow_private_hosts)]
        if allow_files:
            built_in.append(FileFetcher())
        self._fetchers = {scheme: fetcher for fetcher in (*built_in, *fetchers) for scheme in fetcher.schemes}

    def get(self, artifact_hash: bytes, *, uris: tuple[str, ...] = ()) -> bytes:
        """The artifact's bytes, verified: from the cache, else from the first of ``uris`` that has them.

        Raises `ArtifactUnavailable`, `ArtifactCorrupt` and `ArtifactTooLarge` as `ArtifactStore` says, and plain
        `ArtifactError` when the cache's directory cannot be used.
        """
        if len(artifact_hash) != _HASH_BYTES:
            raise ConfigurationError(f"an artifact hash has {_HASH_BYTES} bytes, not {len(artifact_hash)}")
        outcomes: list[ArtifactError] = []
        try:
            cached = self._cached(artifact_hash)
            if cached is not None:
                return cached
        except (ArtifactCorrupt, ArtifactTooLarge) as error:
            outcomes.append(error)
        for uri in uris:
            try:
                self._fetch(uri, artifact_hash)
                fetched = self._cached(artifact_hash)
                if fetched is not None:
                    return fetched
            except (ArtifactUnavailable, ArtifactCorrupt, ArtifactTooLarge) as error:
                outcomes.append(error)
        raise _verdict(artifact_hash, outcomes)

    def put(self, artifact: bytes) -> bytes:
        """Stores bytes and returns their sha256. Raises `ArtifactTooLarge` and `ArtifactError`."""
        artifact_hash = hashlib.sha256(artifact).digest()
        self._store([artifact], artifact_hash, label="the artifact")
        return artifact_hash

    def _path(self, artifact_hash: bytes) -> Path:
        name = artifact_hash.hex()
        return self._root / name[:2] / name

    def _cached(self, artifact_hash: bytes) -> bytes | None:
        path = self._path(artifact_hash)
        try:
            with path.open("rb") as file:
                artifact = file.read(self._max_bytes + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unusable(error) from error
        if len(artifact) > self._max_bytes:
            raise ArtifactTooLarge(f"the cached copy has more than {self._max_bytes} bytes")
        if hashlib.sha256(artifact).digest() == artifact_hash:
            return artifact
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise self._unusable(error) from error
        raise ArtifactCorrupt("the cached copy was damaged and has been removed")

    def _fetch(self, uri: str, artifact_hash: bytes) -> None:
        scheme = scheme_of(uri)
        fetcher = self._fetchers.get(scheme)
        if fetcher is None:
            raise ArtifactUnavailable(f"{mask_uri(uri)}: scheme {scheme!r} is not enabled here")
        with closing(fetcher.open(uri)) as chunks:
            self._store(chunks, artifact_hash, label=mask_uri(uri))

    def _store(self, chunks: Iterable[bytes], artifact_hash: bytes, *, label: str) -> None:
        target = self._path(artifact_hash)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=".partial-", dir=target.parent)
            try:
                with os.fdopen(handle, "wb") as file:
                    self._copy(chunks, file, artifact_hash, label=label)
                    file.flush()
                    os.fsync(file.fileno())
                Path(name).replace(target)
            finally:
                Path(name).unlink(missing_ok=True)
            _sync_directory(target.parent)
        except OSError as error:
            raise self._unusable(error) from error

    def _copy(self, chunks: Iterable[bytes], file: BinaryIO, artifact_hash: bytes, *, label: str) -> None:
        size = 0
        digest = hashlib.sha256()
        for chunk in chunks:
            size += len(chunk)
            if size > self._max_bytes:
                raise ArtifactTooLarge(f"{label}: more than {self._max_bytes} bytes")
            digest.update(chunk)
            file.write(chunk)
        # INVARIANT: a file under a hash's name has that hash.
        if digest.digest() != artifact_hash:
            raise ArtifactCorrupt(f"{label}: {size} bytes with sha256 {digest.hexdigest()}")

    def _unusable(self, error: OSError) -> ArtifactError:
        return ArtifactError(f"the artifact cache at {self._root} cannot be used: {error}")


def _verdict(artifact_hash: bytes, outcomes: Sequence[ArtifactError]) -> ArtifactError:
    kind: type[ArtifactError] = ArtifactUnavailable
    for candidate in (ArtifactCorrupt, ArtifactTooLarge):
        if any(isinstance(outcome, candidate) for outcome in outcomes):
            kind = candidate
            break
    tried = "; ".join(str(outcome) for outcome in outcomes) or "it is not cached, and no place to get it from is known"
    return kind(f"artifact {artifact_hash.hex()}: {tried}")


def _sync_directory(path: Path) -> None:
    if os.name != "posix":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
