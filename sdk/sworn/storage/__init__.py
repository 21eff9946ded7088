"""Artifacts by sha256: a local cache, files, http and https."""

from __future__ import annotations

from sworn.storage.cache import MAX_ARTIFACT_BYTES, CachedArtifactStore
from sworn.storage.fetching import Fetcher, mask_uri
from sworn.storage.files import FileFetcher
from sworn.storage.protocol import ArtifactStore
from sworn.storage.web import HttpFetcher

__all__ = [
    "MAX_ARTIFACT_BYTES",
    "ArtifactStore",
    "CachedArtifactStore",
    "Fetcher",
    "FileFetcher",
    "HttpFetcher",
    "mask_uri",
]
