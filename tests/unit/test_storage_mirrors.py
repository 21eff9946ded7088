from __future__ import annotations

import hashlib
import time
from collections.abc import Generator
from pathlib import Path

import pytest

from sworn.errors import ArtifactCorrupt, ArtifactError, ArtifactUnavailable, ConfigurationError
from sworn.storage import CachedArtifactStore
from sworn.storage.mirrors import MAX_PUBLISHED, Distrust, check_template, places_of

ARTIFACT = b"model" * 1000
HASH = hashlib.sha256(ARTIFACT).digest()


class Mirrors:
    """Serves ``mem:`` addresses from a dict and remembers the order in which it was asked."""

    def __init__(self, contents: dict[str, bytes], *, scheme: str = "mem") -> None:
        self.contents = contents
        self.asked: list[str] = []
        self._scheme = scheme

    @property
    def schemes(self) -> frozenset[str]:
        """The test's own scheme."""
        return frozenset({self._scheme})

    def open(self, uri: str) -> Generator[bytes, None, None]:
        """The content, or nothing there."""
        self.asked.append(uri)
        if uri not in self.contents:
            raise ArtifactUnavailable(f"{uri}: not here")
        yield self.contents[uri]


def test_own_mirrors_are_asked_before_published_ones(tmp_path: Path) -> None:
    """The cache first, then what the operator has named, in order, then what strangers have published."""
    mirrors = Mirrors({"mem://published": ARTIFACT})
    store = CachedArtifactStore(
        tmp_path, mirrors=["mem://a/{sha256}", "mem://b/{sha256}.onnx"], fetchers=[mirrors], own_fetchers=[mirrors]
    )
    assert store.get(HASH, uris=("mem://published",)) == ARTIFACT
    assert mirrors.asked == [f"mem://a/{HASH.hex()}", f"mem://b/{HASH.hex()}.onnx", "mem://published"]
    assert store.get(HASH) == ARTIFACT
    assert len(mirrors.asked) == 3


def test_mirror_with_wrong_bytes_is_reported_and_left_alone_for_a_while(tmp_path: Path) -> None:
    """It is named to the operator once, not asked again until the time is over; other artifacts are."""
    reports: list[tuple[str, str]] = []
    now = [0.0]
    distrust = Distrust(keep_s=10, report=lambda uri, reason: reports.append((uri, reason)), clock=lambda: now[0])
    mirrors = Mirrors({"mem://user:secret@liar/a": b"other"})
    store = CachedArtifactStore(tmp_path, fetchers=[mirrors], distrust=distrust)
    for _ in range(2):
        with pytest.raises(ArtifactCorrupt):
            store.get(HASH, uris=("mem://user:secret@liar/a",))
    assert len(mirrors.asked) == len(reports) == 1
    assert reports[0][0] == "mem://***@liar/a" and "secret" not in str(reports)
    assert store.get(hashlib.sha256(b"other").digest(), uris=("mem://user:secret@liar/a",)) == b"other"
    now[0] = 10.0
    mirrors.contents["mem://user:secret@liar/a"] = ARTIFACT
    assert store.get(HASH, uris=("mem://user:secret@liar/a",)) == ARTIFACT


def test_published_flood_of_addresses_is_tried_from_both_ends(tmp_path: Path) -> None:
    """Thousands of useless addresses hide neither the first publisher's nor the one that came to help."""
    flood = [f"mem://{index}" for index in range(5000)]
    chosen = [place.uri for place in places_of(HASH, templates=(), published=flood)]
    assert len(chosen) == MAX_PUBLISHED and chosen[:4] == ["mem://0", "mem://4999", "mem://1", "mem://4998"]
    assert [place.uri for place in places_of(HASH, templates=(), published=flood[:3] * 2)] == flood[:3]
    mirrors = Mirrors({"mem://4999": ARTIFACT})
    assert CachedArtifactStore(tmp_path, fetchers=[mirrors]).get(HASH, uris=tuple(flood)) == ARTIFACT


def test_mirror_that_drips_is_left_for_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stranger's mirror that sends a byte now and then costs its patience, not its whole time limit."""

    class Dripping(Mirrors):
        def open(self, uri: str) -> Generator[bytes, None, None]:
            self.asked.append(uri)
            while True:
                time.sleep(0.005)
                yield b"m"

    monkeypatch.setattr("sworn.storage.mirrors._PATIENCE_S", 0.05)
    drip, good = Dripping({}), Mirrors({"good://": ARTIFACT}, scheme="good")
    store = CachedArtifactStore(tmp_path, fetchers=[drip, good], timeout_s=0.3)
    started = time.monotonic()
    assert store.get(HASH, uris=("mem://drip", "good://")) == ARTIFACT
    assert time.monotonic() - started < 0.3
    with pytest.raises(ArtifactUnavailable, match="not complete after"):
        CachedArtifactStore(tmp_path / "own", mirrors=["mem://x/{sha256}"], own_fetchers=[drip], timeout_s=0.1).get(
            HASH
        )


def test_own_folder_as_a_mirror_serves_regular_files_only(tmp_path: Path) -> None:
    """A link in it may lead to the artifact; one that leads to a device or another file gives nothing away."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    name = folder / HASH.hex()
    (tmp_path / "secret").write_text("top secret")
    for target in ("/dev/zero", tmp_path / "secret", folder):
        name.symlink_to(target)
        with pytest.raises(ArtifactError) as caught:
            CachedArtifactStore(tmp_path / "cache", mirrors=[f"{folder}/{{sha256}}"]).get(HASH)
        assert "top secret" not in str(caught.value)
        name.unlink()
    (tmp_path / "model").write_bytes(ARTIFACT)
    name.symlink_to(tmp_path / "model")
    assert CachedArtifactStore(tmp_path / "cache", mirrors=[f"file://{folder}/{{sha256}}"]).get(HASH) == ARTIFACT


def test_folders_of_ones_own_are_not_opened_by_published_addresses(tmp_path: Path) -> None:
    """That the operator reads its own files does not let a stranger's address name them."""
    (tmp_path / HASH.hex()).write_bytes(ARTIFACT)
    store = CachedArtifactStore(tmp_path / "cache", mirrors=["/nowhere/{sha256}"])
    for uri in (str(tmp_path / HASH.hex()), (tmp_path / HASH.hex()).as_uri()):
        with pytest.raises(ArtifactUnavailable):
            store.get(HASH, uris=(uri,))


@pytest.mark.parametrize(
    "template",
    [
        *("s3://bucket/a", "s3://{sha256}/a", "https://{sha256}.example/", "models/{sha256}", "{sha256}", ""),
        *("s3://bucket/{sha256}/{sha256}", "s3://bucket/{sha256}{0}", "https://u:{sha256}@host/a", "file:{sha256}"),
        *("s3://key:password@bucket/{sha256}", "https://user:pass/word@host/{sha256}", "https://u@h\u2100st/{sha256}"),
    ],
)
def test_address_of_ones_own_that_cannot_be_filled_is_refused(template: str) -> None:
    """A mirror that can never work is a mistake in the settings, and said before anything is fetched."""
    with pytest.raises(ConfigurationError):
        check_template(template)


@pytest.mark.parametrize(
    "template", ["/{sha256}", "/srv/{sha256}", "https://u:p%2Fw@host:8443/a/{sha256}", "gs://b/{sha256}"]
)
def test_address_of_ones_own_that_can_be_filled_is_taken(template: str) -> None:
    """Whatever names one file of each hash will do: folders, buckets, and hosts with a password."""
    assert check_template(template) == template


def test_verifying_an_address_asks_it_whatever_is_cached(tmp_path: Path) -> None:
    """What is announced has been fetched back from exactly there."""
    mirrors = Mirrors({"mem://good": ARTIFACT, "mem://bad": b"bad"})
    store = CachedArtifactStore(tmp_path, fetchers=[mirrors])
    store.put(ARTIFACT)
    store.verify("mem://good", HASH)
    for uri, error in (("mem://bad", ArtifactCorrupt), ("mem://none", ArtifactUnavailable)):
        with pytest.raises(error):
            store.verify(uri, HASH)
    assert mirrors.asked == ["mem://good", "mem://bad", "mem://none"]
