"""Artifacts in buckets: S3, Google Cloud Storage, Azure and what else fsspec knows. Only this module imports fsspec.

One's own buckets are read and written with the credentials of the usual chain (environment, files of the vendor's
tools, the machine's role). Buckets that strangers name are read without any.
"""

from __future__ import annotations

import queue
import re
import threading
import time
from collections.abc import Generator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import Any, Final

from sworn.errors import ArtifactUnavailable, ConfigurationError
from sworn.storage.fetching import mask_uri, split_uri

_CHUNK_BYTES: Final = 1 << 20
#: Chunks that wait for a slow disk.
_AHEAD: Final = 4
#: Longer names, and names in capitals or with colons, are those of access points, which lead elsewhere.
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9._-]{1,62}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendor:
    """One kind of bucket."""

    #: What to install.
    extra: str
    #: Module and class of the file system; None = the one that fsspec chooses.
    system: tuple[str, str] | None = None
    #: Options of the file system with which nothing is signed; None = strangers' buckets of this kind are not read.
    anonymous: Mapping[str, Any] | None


VENDORS: Final[Mapping[str, Vendor]] = MappingProxyType(
    {
        "s3": Vendor(extra="sworn-oracle[s3]", anonymous=MappingProxyType({"anon": True})),
        "gs": Vendor(
            extra="sworn-oracle[gcs]",
            # The one that fsspec chooses asks for each bucket's kind over gRPC first, and waits a minute for an answer.
            system=("gcsfs.core", "GCSFileSystem"),
            anonymous=MappingProxyType({"token": "anon"}),
        ),
        "az": Vendor(extra="adlfs", anonymous=None),
    }
)


class BucketFetcher:
    """Streams ``s3://bucket/key`` and its like. ``anonymous`` signs nothing, for buckets that strangers name."""

    def __init__(self, scheme: str, *, anonymous: bool, timeout_s: float = 600.0) -> None:
        self._scheme = scheme
        self._timeout_s = timeout_s
        self._options = _options(scheme, anonymous=anonymous)

    @property
    def schemes(self) -> frozenset[str]:
        """The one of this kind of bucket."""
        return frozenset({self._scheme})

    def open(self, uri: str) -> Generator[bytes, None, None]:
        """Chunks of the object. Raises `ArtifactUnavailable`, and `ConfigurationError` where a library is missing."""
        path = object_path(uri, self._scheme)
        system = _file_system(self._scheme, self._options)
        yield from _in_time(system, path, shown=mask_uri(uri), timeout_s=self._timeout_s)


def write_object(uri: str, artifact: bytes) -> None:
    """Puts an artifact into one's own bucket. Raises `ArtifactUnavailable`, `ConfigurationError`."""
    scheme = split_uri(uri).scheme
    path = object_path(uri, scheme)
    system = _file_system(scheme, _options(scheme, anonymous=False))
    try:
        system.pipe_file(path, artifact)
    except _failures() as error:
        raise _refused(mask_uri(uri), error) from None


def object_path(uri: str, scheme: str) -> str:
    """Bucket and key of a URI, as fsspec takes them. Raises `ArtifactUnavailable`."""
    parts = split_uri(uri)
    key = parts.path.removeprefix("/")
    plain = not (parts.query or parts.fragment) and "::" not in uri and not set("*?[]") & set(key)
    # Some HTTP clients resolve dots, and ask for another object, or another bucket.
    plain = plain and not {".", ".."} & set(key.split("/"))
    if parts.scheme != scheme or not _BUCKET.fullmatch(parts.netloc) or not key or not plain:
        raise ArtifactUnavailable(f"{mask_uri(uri)}: not the address of an object in a bucket")
    return f"{parts.netloc}/{key}"


def _options(scheme: str, *, anonymous: bool) -> Mapping[str, Any]:
    vendor = VENDORS.get(scheme)
    if vendor is None:
        raise ConfigurationError(f"buckets are named by {', '.join(sorted(VENDORS))}, not {scheme!r}")
    if not anonymous:
        return MappingProxyType({})
    if vendor.anonymous is None:
        raise ConfigurationError(f"published addresses with {scheme}:// cannot be read without credentials")
    return vendor.anonymous


def _file_system(scheme: str, options: Mapping[str, Any]) -> Any:
    try:
        import fsspec

        chosen = VENDORS[scheme].system
        made = fsspec.get_filesystem_class(scheme) if chosen is None else getattr(import_module(chosen[0]), chosen[1])
        # Instances are kept by fsspec with their credentials; these are not.
        return made(skip_instance_cache=True, use_listings_cache=False, **options)
    except ImportError as error:
        extra = VENDORS[scheme].extra
        raise ConfigurationError(f"{scheme}:// needs another package: pip install '{extra}'") from error


def _failures() -> tuple[type[Exception], ...]:
    """What the vendors' libraries raise, besides errors of the system."""
    found: list[type[Exception]] = [OSError, ValueError, RuntimeError, NotImplementedError]
    with suppress(ImportError):
        from botocore.exceptions import BotoCoreError, ClientError

        found += [BotoCoreError, ClientError]
    with suppress(ImportError):
        from aiohttp import ClientError as WebError

        found.append(WebError)
    with suppress(ImportError):
        from google.auth.exceptions import GoogleAuthError

        found.append(GoogleAuthError)
    return tuple(found)


def _refused(shown: str, error: BaseException) -> ArtifactUnavailable:
    # Vendors' messages may quote keys, signed addresses and headers: only their kind is repeated.
    reasons = {
        FileNotFoundError: "there is no such object",
        PermissionError: "access is denied, or there are no credentials",
        TimeoutError: "it did not answer in time",
    }
    reason = next((text for kind, text in reasons.items() if isinstance(error, kind)), type(error).__name__)
    return ArtifactUnavailable(f"{shown}: {reason}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    """One object, read by a thread that can be left alone."""

    system: Any
    path: str
    chunks: queue.Queue[bytes | Exception | None]
    stop: threading.Event

    def run(self) -> None:
        """Hands over chunks, perhaps what went wrong, and at last None."""
        try:
            with self.system.open(self.path, "rb", block_size=_CHUNK_BYTES, cache_type="readahead") as file:
                while not self.stop.is_set() and (chunk := file.read(_CHUNK_BYTES)):
                    self._put(chunk)
        except _failures() as error:
            self._put(error)
        finally:
            self._put(None)

    def _put(self, item: bytes | Exception | None) -> None:
        while not self.stop.is_set():
            with suppress(queue.Full):
                self.chunks.put(item, timeout=0.2)
                return


def _in_time(system: Any, path: str, *, shown: str, timeout_s: float) -> Generator[bytes, None, None]:
    """Chunks until the time is up: the libraries' own time limits start again with every byte that arrives."""
    reading = _Reading(system=system, path=path, chunks=queue.Queue(maxsize=_AHEAD), stop=threading.Event())
    deadline = time.monotonic() + timeout_s
    threading.Thread(target=reading.run, name="bucket", daemon=True).start()
    try:
        while (left := deadline - time.monotonic()) > 0:
            with suppress(queue.Empty):
                item = reading.chunks.get(timeout=left)
                if item is None:
                    return
                if isinstance(item, Exception):
                    raise _refused(shown, item) from None
                yield item
        raise ArtifactUnavailable(f"{shown}: not complete after {timeout_s:g} s")
    finally:
        reading.stop.set()
