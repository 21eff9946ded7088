from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.fake_bucket import Bucket, serving_bucket

from sworn.errors import ArtifactUnavailable, ConfigurationError
from sworn.storage import CachedArtifactStore
from sworn.storage.buckets import BucketFetcher, object_path, write_object

ARTIFACT = bytes(range(256)) * 10_000
HASH = hashlib.sha256(ARTIFACT).digest()
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Bucket]:
    """A bucket, named by the usual variables."""
    with serving_bucket() as bucket:
        for name, value in {
            "AWS_ENDPOINT_URL": bucket.url,
            "AWS_ACCESS_KEY_ID": "AKIASECRETKEY",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_CONFIG_FILE": str(tmp_path / "none"),
            "AWS_EC2_METADATA_DISABLED": "true",
        }.items():
            monkeypatch.setenv(name, value)
        yield bucket


def mirrored(tmp_path: Path, *, timeout_s: float = 20.0) -> CachedArtifactStore:
    """A store with a mirror of its own in a bucket, and with strangers' buckets enabled."""
    return CachedArtifactStore(
        tmp_path / "cache",
        mirrors=["s3://own/models/{sha256}"],
        own_fetchers=[BucketFetcher("s3", anonymous=False, timeout_s=timeout_s)],
        fetchers=[BucketFetcher("s3", anonymous=True, timeout_s=timeout_s)],
    )


def test_bucket_of_ones_own_is_written_and_read_with_credentials(bucket: Bucket, tmp_path: Path) -> None:
    """What is uploaded comes back through the cache, and every request of it is signed."""
    write_object(f"s3://own/models/{HASH.hex()}", ARTIFACT)
    assert mirrored(tmp_path).get(HASH) == ARTIFACT
    assert {signed for _, _, signed in bucket.asked} == {True}
    assert {method for method, _, _ in bucket.asked} >= {"PUT", "GET"}


def test_bucket_of_a_stranger_is_read_without_credentials(bucket: Bucket, tmp_path: Path) -> None:
    """A published address never makes the operator's credentials sign anything: they may open what others must not."""
    bucket.objects["/theirs/model.onnx"] = ARTIFACT
    store = CachedArtifactStore(tmp_path, fetchers=[BucketFetcher("s3", anonymous=True)])
    assert store.get(HASH, uris=("s3://theirs/model.onnx",)) == ARTIFACT
    assert bucket.asked and {signed for _, _, signed in bucket.asked} == {False}


def test_bucket_that_is_not_enabled_is_not_asked(bucket: Bucket, tmp_path: Path) -> None:
    """Without the operator's word, an address with s3:// is one more that cannot be used."""
    with pytest.raises(ArtifactUnavailable):
        CachedArtifactStore(tmp_path).get(HASH, uris=("s3://theirs/model.onnx",))
    assert bucket.asked == []


def test_bucket_that_refuses_says_so_without_secrets(bucket: Bucket, tmp_path: Path) -> None:
    """Missing objects and denied ones are outcomes; keys, and what the vendor says about them, are in no message."""
    bucket.denied.add(f"/own/models/{HASH.hex()}")
    uris = ("s3://theirs/missing", "s3://theirs/AKIA?versionId=secret-version")
    with pytest.raises(ArtifactUnavailable) as caught:
        mirrored(tmp_path).get(HASH, uris=uris)
    text = repr(caught.value)
    assert "access is denied" in text and "no such object" in text
    assert not [word for word in (SECRET, "AKIASECRETKEY", "secret-version") if word in text]


def test_bucket_that_drips_ends_at_the_deadline(bucket: Bucket, tmp_path: Path) -> None:
    """A connection that stays alive by single bytes does not hold up the next mirror for longer than allowed."""
    bucket.objects[f"/own/models/{HASH.hex()}"] = ARTIFACT
    bucket.slow.set()
    with pytest.raises(ArtifactUnavailable, match="not complete"):
        mirrored(tmp_path, timeout_s=0.5).get(HASH)


def test_upload_to_a_bucket_that_cannot_be_reached_is_typed(monkeypatch: pytest.MonkeyPatch, bucket: Bucket) -> None:
    """A vendor's exception does not reach the caller."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(ArtifactUnavailable):
        write_object("s3://own/a", b"x")


@pytest.mark.parametrize(
    "uri",
    [
        *("s3://bucket", "s3://bucket/", "s3:///key", "s3://UPPER/key", "s3://user:secret@bucket/key"),
        *("s3://arn:aws:s3:us-east-1:1:accesspoint/x/key", "s3://b/key", "s3://bucket/*", "s3://bucket/a?versionId=1"),
        *("s3://bucket/a::http://169.254.169.254/", "gs://bucket/key", "s3://127.0.0.1:80/key", "s3://bucket/../key"),
    ],
)
def test_address_that_is_no_plain_object_is_refused(uri: str) -> None:
    """Chains of file systems, access points, patterns and hosts in a stranger's address lead nowhere."""
    with pytest.raises(ArtifactUnavailable):
        object_path(uri, "s3")


def test_bucket_library_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who configures a bucket without its extra is told what to install."""
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(ConfigurationError, match=r"sworn-oracle\[gcs\]"):
        next(BucketFetcher("gs", anonymous=False).open("gs://bucket/key"))
    with pytest.raises(ConfigurationError):
        BucketFetcher("az", anonymous=True)
    with pytest.raises(ConfigurationError):
        BucketFetcher("ftp", anonymous=False)
