"""The artifact cache: verified, whole or absent, bounded."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Generator
from pathlib import Path

import pytest

from sworn.errors import ArtifactCorrupt, ArtifactError, ArtifactTooLarge, ArtifactUnavailable, ConfigurationError
from sworn.storage import CachedArtifactStore, Fetcher, mask_uri

ARTIFACT = bytes(range(256)) * 5000
HASH = hashlib.sha256(ARTIFACT).digest()


class MemoryFetcher:
    """Serves ``memory:`` URIs from a dict and counts what it is asked; an exception stands for a place that fails."""

    def __init__(self, contents: dict[str, bytes | ArtifactError]) -> None:
        self.contents = contents
        self.opened: list[str] = []
        self.closed = 0
        self.sent = 0

    @property
    def schemes(self) -> frozenset[str]:
        """The test's own scheme."""
        return frozenset({"memory"})

    def open(self, uri: str) -> Generator[bytes, None, None]:
        """The content in chunks of 1000 bytes."""
        self.opened.append(uri)
        content = self.contents[uri]
        try:
            if isinstance(content, ArtifactError):
                raise content
            for start in range(0, len(content), 1000):
                self.sent += 1
                yield content[start : start + 1000]
        finally:
            self.closed += 1


def files_under(root: Path) -> list[Path]:
    """Every file that a store has left behind."""
    return [path for path in root.rglob("*") if path.is_file()]


def cached_path(root: Path) -> Path:
    """Where the artifact must lie."""
    return root / HASH.hex()[:2] / HASH.hex()


def test_put_then_get_returns_the_bytes(tmp_path: Path) -> None:
    """What was stored is there for this and every other store on the directory."""
    assert CachedArtifactStore(tmp_path / "cache").put(ARTIFACT) == HASH
    assert CachedArtifactStore(tmp_path / "cache").get(HASH) == ARTIFACT
    assert files_under(tmp_path) == [cached_path(tmp_path / "cache")]


def test_get_of_an_artifact_that_is_nowhere_is_unavailable(tmp_path: Path) -> None:
    """No URIs, no cache: nothing to wait for."""
    with pytest.raises(ArtifactUnavailable):
        CachedArtifactStore(tmp_path).get(HASH)


def test_get_fetches_once_and_then_reads_the_cache(tmp_path: Path) -> None:
    """The second read asks nobody."""
    fetcher = MemoryFetcher({"memory:a": ARTIFACT})
    store = CachedArtifactStore(tmp_path, fetchers=[fetcher])
    assert store.get(HASH, uris=("memory:a",)) == store.get(HASH, uris=("memory:a",)) == ARTIFACT
    assert fetcher.opened == ["memory:a"] and fetcher.closed == 1


def test_get_tries_the_next_place_after_each_failure(tmp_path: Path) -> None:
    """A dead, a wrong and an endless mirror do not keep the good one from being found."""
    fetcher = MemoryFetcher(
        {
            "memory:dead": ArtifactUnavailable("gone"),
            "memory:wrong": b"something else",
            "memory:endless": bytes(len(ARTIFACT) + 1),
            "memory:good": ARTIFACT,
        }
    )
    store = CachedArtifactStore(tmp_path, max_bytes=len(ARTIFACT), fetchers=[fetcher])
    assert store.get(HASH, uris=("ftp://nobody/", *fetcher.contents)) == ARTIFACT
    assert fetcher.opened == list(fetcher.contents) and fetcher.closed == 4


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ([ArtifactUnavailable("gone")], ArtifactUnavailable),
        ([b"wrong", ArtifactUnavailable("gone")], ArtifactCorrupt),
        ([bytes(2_000_000), ArtifactUnavailable("gone")], ArtifactTooLarge),
        ([b"wrong", bytes(2_000_000)], ArtifactCorrupt),
        ([ARTIFACT[:-1]], ArtifactCorrupt),
        ([b""], ArtifactCorrupt),
    ],
)
def test_get_says_what_every_place_said(
    tmp_path: Path, content: list[bytes | ArtifactError], error: type[ArtifactError]
) -> None:
    """The error's type is the most telling outcome, its text names all places, and no file is left."""
    fetcher = MemoryFetcher({f"memory:{index}": item for index, item in enumerate(content)})
    with pytest.raises(error) as caught:
        CachedArtifactStore(tmp_path, max_bytes=1_500_000, fetchers=[fetcher]).get(HASH, uris=tuple(fetcher.contents))
    assert type(caught.value) is error
    for item, uri in zip(content, fetcher.contents, strict=True):
        assert (str(item) if isinstance(item, ArtifactError) else uri) in str(caught.value)
    assert files_under(tmp_path) == []


def test_oversized_artifact_stops_the_stream_at_the_limit(tmp_path: Path) -> None:
    """What is over the limit is neither read nor kept."""
    fetcher = MemoryFetcher({"memory:a": ARTIFACT})
    with pytest.raises(ArtifactTooLarge):
        CachedArtifactStore(tmp_path, max_bytes=4500, fetchers=[fetcher]).get(HASH, uris=("memory:a",))
    assert fetcher.sent == 5 and fetcher.closed == 1


def test_put_over_the_limit_raises(tmp_path: Path) -> None:
    """The limit holds for one's own bytes too; equality is inside it."""
    with pytest.raises(ArtifactTooLarge):
        CachedArtifactStore(tmp_path, max_bytes=len(ARTIFACT) - 1).put(ARTIFACT)
    assert CachedArtifactStore(tmp_path, max_bytes=len(ARTIFACT)).put(ARTIFACT) == HASH


@pytest.mark.parametrize("damage", [b"", ARTIFACT[:-1], b"\x00" + ARTIFACT[1:]], ids=["empty", "cut", "flipped"])
def test_damaged_cache_entry_is_fetched_again(tmp_path: Path, damage: bytes) -> None:
    """Bytes are verified on every read; a bad entry is replaced."""
    store = CachedArtifactStore(tmp_path, fetchers=[MemoryFetcher({"memory:a": ARTIFACT})])
    store.put(ARTIFACT)
    cached_path(tmp_path).write_bytes(damage)
    assert store.get(HASH, uris=("memory:a",)) == ARTIFACT
    assert cached_path(tmp_path).read_bytes() == ARTIFACT


def test_damaged_cache_entry_without_a_source_is_corrupt_then_unavailable(tmp_path: Path) -> None:
    """The bad entry is reported once and gone."""
    store = CachedArtifactStore(tmp_path)
    store.put(ARTIFACT)
    cached_path(tmp_path).write_bytes(b"bad")
    with pytest.raises(ArtifactCorrupt):
        store.get(HASH)
    with pytest.raises(ArtifactUnavailable):
        store.get(HASH)


def test_cached_artifact_over_a_lowered_limit_is_too_large(tmp_path: Path) -> None:
    """The limit is that of the reader."""
    CachedArtifactStore(tmp_path).put(ARTIFACT)
    with pytest.raises(ArtifactTooLarge):
        CachedArtifactStore(tmp_path, max_bytes=10).get(HASH)


def test_interrupted_write_leaves_nothing(tmp_path: Path) -> None:
    """Whatever ends a fetch, no partial file stays."""

    class Interrupted(MemoryFetcher):
        def open(self, uri: str) -> Generator[bytes, None, None]:
            yield ARTIFACT[:5000]
            raise KeyboardInterrupt

    fetcher: Fetcher = Interrupted({})
    with pytest.raises(KeyboardInterrupt):
        CachedArtifactStore(tmp_path, fetchers=[fetcher]).get(HASH, uris=("memory:a",))
    assert files_under(tmp_path) == []


def test_cache_on_an_unusable_directory_raises_a_typed_error(tmp_path: Path) -> None:
    """A file where the directory should be is the user's to fix, and no vendor's exception."""
    (tmp_path / "cache").write_bytes(b"")
    store = CachedArtifactStore(tmp_path / "cache")
    with pytest.raises(ArtifactError):
        store.put(ARTIFACT)
    with pytest.raises(ArtifactError):
        store.get(HASH)


def test_hash_of_wrong_length_raises(tmp_path: Path) -> None:
    """Only 32 bytes name an artifact."""
    with pytest.raises(ConfigurationError):
        CachedArtifactStore(tmp_path).get(HASH[:20])


def test_files_are_fetched_by_uri_and_by_path(tmp_path: Path) -> None:
    """``file://`` with escapes and plain paths name the same file."""
    path = tmp_path / "my model.onnx"
    path.write_bytes(ARTIFACT)
    for index, uri in enumerate((path.as_uri(), str(path), f"file://localhost{path.as_uri()[7:]}")):
        assert CachedArtifactStore(tmp_path / str(index), allow_files=True).get(HASH, uris=(uri,)) == ARTIFACT


def test_files_are_refused_unless_allowed(tmp_path: Path) -> None:
    """A stranger's URI does not read local files."""
    path = tmp_path / "model.onnx"
    path.write_bytes(ARTIFACT)
    store = CachedArtifactStore(tmp_path / "cache")
    for uri in (str(path), path.as_uri(), path.as_uri().replace("file", "FILE")):
        with pytest.raises(ArtifactUnavailable):
            store.get(HASH, uris=(uri,))


def test_anything_but_a_regular_file_is_refused(tmp_path: Path) -> None:
    """Devices, pipes, directories, missing files, other hosts and impossible names: refused at once."""
    os.mkfifo(tmp_path / "pipe")
    store = CachedArtifactStore(tmp_path / "cache", allow_files=True)
    for uri in ("/dev/zero", str(tmp_path / "pipe"), str(tmp_path), "/no/such/file", "file://host/a", "file:///a%00b"):
        with pytest.raises(ArtifactUnavailable):
            store.get(HASH, uris=(uri,))


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("https://user:secret@host:8443/a?token=secret#secret", "https://***@host:8443/a?***"),
        ("https://host/a", "https://host/a"),
        ("/plain/path", "/plain/path"),
        ("https://[broken/secret", "<unreadable URI>"),
        ("https://host/a\x1b[31m", "https://host/a?[31m"),
        ("https://host/" + "a" * 500, "https://host/" + "a" * 186 + "…"),
    ],
)
def test_uri_is_shown_without_secrets(uri: str, shown: str) -> None:
    """Users, passwords, queries and control characters do not reach messages."""
    assert mask_uri(uri) == shown


@pytest.mark.parametrize("uri", ["gopher://user:secret@host/", "https://[broken/secret", "nonsense:secret@host"])
def test_uri_that_cannot_be_served_is_unavailable(tmp_path: Path, uri: str) -> None:
    """Unknown schemes and broken URIs are outcomes like any other."""
    with pytest.raises(ArtifactUnavailable):
        CachedArtifactStore(tmp_path).get(HASH, uris=(uri,))
