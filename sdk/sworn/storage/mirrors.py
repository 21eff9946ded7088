"""Where an artifact may be had besides the cache: one's own mirrors, and what others have published."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Final, Protocol

from sworn.errors import ArtifactUnavailable, ConfigurationError
from sworn.storage.fetching import Fetcher, mask_own_uri, mask_uri, scheme_of, split_uri
from sworn.storage.web import Pace, opened

#: What stands for the hash in an address of one's own.
PLACEHOLDER: Final = "{sha256}"
#: Published addresses that one fetch tries. Anyone can publish any number.
MAX_PUBLISHED: Final = 64
#: A mirror that has sent less after this many seconds than at this rate is left, whatever it drips and wherever: it
#: would otherwise cost the whole time limit, and there may be many.
_PATIENCE_S: Final = 30.0
_MIN_BYTES_PER_S: Final = 16 << 10
#: When published mirrors have cost one fetch so much for nothing, it goes on to no other one of them. The next fetch
#: begins with those that were not slow, so that slow ones keep nobody from the others for ever.
_ALL_PUBLISHED_S: Final = 300.0
#: How long slow ones come last, and how many are remembered.
_SLOW_S: Final = 3_600.0
_MAX_SLOW: Final = 4_096
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*://")


class BadMirrorReport(Protocol):
    """Told of every mirror that gave wrong bytes: its masked URI and what was wrong."""

    def __call__(self, uri: str, reason: str) -> None: ...


def no_report(uri: str, reason: str) -> None:
    """Tells nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One address of an artifact."""

    uri: str
    #: Whether the operator has named it: the rules for strangers' addresses do not apply.
    own: bool

    @property
    def shown(self) -> str:
        """For messages and logs: of what strangers publish, the path is public as well."""
        return mask_own_uri(self.uri) if self.own else mask_uri(self.uri)


@dataclass(frozen=True, slots=True, kw_only=True)
class Distrust:
    """Mirrors that gave wrong bytes, for a while: they are not asked again for the same artifact."""

    keep_s: float = 600.0
    report: BadMirrorReport = no_report
    clock: Callable[[], float] = time.monotonic
    _until: dict[tuple[str, bytes], float] = field(default_factory=dict, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def add(self, place: Place, artifact_hash: bytes, *, reason: str) -> None:
        """Remembers and reports a mirror."""
        now = self.clock()
        with self._lock:
            for key in [key for key, until in self._until.items() if until <= now]:
                del self._until[key]
            self._until[place.uri, artifact_hash] = now + self.keep_s
        self.report(place.shown, reason)

    def has(self, uri: str, artifact_hash: bytes) -> bool:
        """Whether a mirror is out of favour."""
        with self._lock:
            return self._until.get((uri, artifact_hash), 0.0) > self.clock()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tardiness:
    """Published mirrors that have kept somebody waiting for nothing; safe for many threads."""

    clock: Callable[[], float] = time.monotonic
    _until: dict[str, float] = field(default_factory=dict, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def sorted(self, places: Iterable[Place]) -> list[Place]:
        """The same places, those that were slow lately at the end."""
        now = self.clock()
        with self._lock:
            return sorted(places, key=lambda place: not place.own and self._until.get(place.uri, now) > now)

    def add(self, place: Place) -> None:
        """Remembers one."""
        with self._lock:
            self._until.pop(place.uri, None)
            self._until[place.uri] = self.clock() + _SLOW_S
            if len(self._until) > _MAX_SLOW:
                del self._until[next(iter(self._until))]


class Outlay:
    """What published mirrors may cost one fetch: anyone can publish any number of them, all slow."""

    def __init__(self, tardiness: Tardiness) -> None:
        self._tardiness = tardiness
        self._spent_s = 0.0

    @contextmanager
    def charged(self, place: Place) -> Iterator[None]:
        """One try of a place; one's own cost nothing. Raises `ArtifactUnavailable` when too much has been spent."""
        if place.own:
            yield
            return
        if self._spent_s >= _ALL_PUBLISHED_S:
            raise ArtifactUnavailable(f"{place.shown}: not asked, the others have taken {self._spent_s:.0f} s")
        began, is_done = self._tardiness.clock(), False
        try:
            yield
            is_done = True
        finally:
            spent_s = self._tardiness.clock() - began
            self._spent_s += spent_s
            if not is_done and spent_s >= _PATIENCE_S:
                self._tardiness.add(place)


def check_template(template: str) -> str:
    """An address of one's own, in which ``{sha256}`` stands for the artifact's hash. Raises `ConfigurationError`."""
    if template.count(PLACEHOLDER) != 1 or "{" in template.replace(PLACEHOLDER, ""):
        raise ConfigurationError(
            f"an address for artifacts has {PLACEHOLDER} in it exactly once, where their hash goes"
        )
    if not _SCHEME.match(template) and not template.startswith("/"):
        raise ConfigurationError("an address for artifacts has a scheme, such as s3://, or is an absolute path")
    if "://" in template:
        _check_address(template)
    return template


def _check_address(template: str) -> None:
    """Raises `ConfigurationError`; what it says never quotes the address."""
    try:
        parts = split_uri(template)
        is_web, credentials = parts.scheme in ("http", "https"), "@" in parts.netloc
        # A password with a slash in it ends the host early: what is left of it looks like a port.
        usable = parts.port != 0
    except (ArtifactUnavailable, ValueError):
        raise ConfigurationError(
            "an address for artifacts cannot be read; a / in a password is written as %2F"
        ) from None
    if PLACEHOLDER in parts.netloc:
        raise ConfigurationError(f"{PLACEHOLDER} belongs into the path of an address, not into its host or bucket")
    if not usable or (credentials and not is_web):
        raise ConfigurationError("credentials of buckets are those that the vendor's tools find, not in the address")


def filled(template: str, artifact_hash: bytes) -> str:
    """The address of one artifact."""
    return template.replace(PLACEHOLDER, artifact_hash.hex())


def places_of(artifact_hash: bytes, *, templates: Sequence[str], published: Sequence[str]) -> Iterator[Place]:
    """Where to look, in order: one's own mirrors, then published ones."""
    yield from (Place(uri=filled(template, artifact_hash), own=True) for template in templates)
    yield from (Place(uri=uri, own=False) for uri in _chosen(published))


def fetched(
    place: Place, fetchers: dict[str, Fetcher], *, timeout_s: float, clock: Callable[[], float] = time.monotonic
) -> Generator[bytes, None, None]:
    """Chunks from a place, within a time limit, and a stranger's at a pace. Raises `ArtifactUnavailable`."""
    scheme, shown = scheme_of(place.uri), place.shown
    fetcher = fetchers.get(scheme)
    if fetcher is None:
        raise ArtifactUnavailable(f"{shown}: scheme {scheme!r} is not enabled here")
    patience_s = None if place.own else _PATIENCE_S
    pace = Pace(total_s=timeout_s, patience_s=patience_s, min_bytes_per_s=_MIN_BYTES_PER_S)
    started, size = clock(), 0
    with closing(opened(fetcher, place.uri, pace)) as chunks:
        for chunk in chunks:
            size += len(chunk)
            elapsed = clock() - started
            if elapsed > timeout_s:
                raise ArtifactUnavailable(f"{shown}: not complete after {timeout_s:g} s")
            if elapsed > pace.allowed_s(size):
                raise ArtifactUnavailable(f"{shown}: too slow, {size} bytes in {elapsed:.0f} s")
            yield chunk


def _chosen(published: Sequence[str]) -> list[str]:
    """Of very many, the oldest and the newest in turn: who floods the list comes between, or after, honest ones."""
    uris = list(dict.fromkeys(published))
    if len(uris) <= MAX_PUBLISHED:
        return uris
    half = MAX_PUBLISHED // 2
    pairs = zip(uris[:half], reversed(uris[-half:]), strict=True)
    return [uri for pair in pairs for uri in pair]
