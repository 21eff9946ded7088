"""Where artifacts live: content-addressed by sha256, whoever serves them."""

from __future__ import annotations

from typing import Protocol


class ArtifactStore(Protocol):
    """Bytes by sha256."""

    def get(self, artifact_hash: bytes, *, uris: tuple[str, ...] = ()) -> bytes:
        """The artifact's bytes, verified: from the local cache, else from the first of ``uris`` that has them.

        Raises `ArtifactUnavailable` when no place has them (naming what each said), `ArtifactCorrupt` when the only
        bytes found hash to something else, `ArtifactTooLarge` when they exceed the size limit.
        """
        ...

    def put(self, artifact: bytes) -> bytes:
        """Stores bytes and returns their sha256."""
        ...
