"""Puts the artifact store together from its settings, and says how artifacts get into mirrors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sworn.cli.places import HOME
from sworn.storage import CachedArtifactStore
from sworn.storage.buckets import VENDORS, BucketFetcher
from sworn.storage.fetching import Fetcher
from sworn.storage.mirrors import BadMirrorReport, Distrust, no_report

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from sworn.types import Address, Deployment
    from sworn.watcher.policy import ServedModel
    from sworn.watcher.settings import WatcherSettings
    from sworn.watcher.settings_artifacts import ArtifactSettings

_FOLDER: Final = HOME / "artifacts"


def artifact_store(
    settings: ArtifactSettings | None, *, private_hosts: bool = False, report: BadMirrorReport = no_report
) -> CachedArtifactStore:
    """The store as configured; without settings, a cache below the home directory and published mirrors.

    Raises `ConfigurationError`.
    """
    if settings is None:
        own = [BucketFetcher(scheme, anonymous=False) for scheme in sorted(VENDORS)]
        return CachedArtifactStore(_FOLDER.expanduser(), own_fetchers=own, allow_private_hosts=private_hosts)
    mirrors = [mirror.get_secret_value() for mirror in settings.mirrors]
    gateways = settings.ipfs_gateways
    return CachedArtifactStore(
        cache_folder(settings),
        max_bytes=settings.max_bytes,
        limit_bytes=settings.cache_bytes,
        mirrors=mirrors,
        gateways=None if gateways is None else [gateway.get_secret_value() for gateway in gateways],
        fetchers=[_bucket(scheme, settings, anonymous=True) for scheme in settings.published_buckets],
        own_fetchers=[_bucket(scheme, settings, anonymous=False) for scheme in sorted(VENDORS)],
        allow_private_hosts=private_hosts,
        timeout_s=settings.timeout_s,
        distrust=Distrust(keep_s=settings.distrust_s, report=report),
    )


def stranger_store(settings: ArtifactSettings | None) -> CachedArtifactStore:
    """A store that fetches as somebody else would, who reads public buckets and has no credentials."""
    gateways = None if settings is None else settings.ipfs_gateways
    return CachedArtifactStore(
        _FOLDER.expanduser() if settings is None else cache_folder(settings),
        gateways=None if gateways is None else [gateway.get_secret_value() for gateway in gateways],
        fetchers=[BucketFetcher(scheme, anonymous=True) for scheme, vendor in VENDORS.items() if vendor.anonymous],
    )


def cache_folder(settings: ArtifactSettings) -> Path:
    """Where files are cached."""
    return (settings.cache or _FOLDER).expanduser()


def reported(log: FilteringBoundLogger) -> BadMirrorReport:
    """Logs mirrors that gave wrong bytes."""

    def report(uri: str, reason: str) -> None:
        log.warning("mirror_gave_wrong_bytes", uri=uri, reason=reason)

    return report


@contextmanager
def kept(
    values: WatcherSettings, contracts: Deployment, operator: Address, models: Sequence[ServedModel]
) -> Iterator[None]:
    """Keeps the files of served models in the cache, those that are not read from elsewhere. Raises `ArtifactError`."""
    pairs = zip(values.models, models, strict=True)
    hashes = [model.identified.model.artifact_hash for entry, model in pairs if entry.artifact is None]
    if not hashes:
        # A cache that nothing is served from need not even be there.
        yield
        return
    with artifact_store(values.artifacts).held(watcher_holder(contracts, operator), hashes):
        yield


def watcher_holder(deployment: Deployment, operator: Address) -> str:
    """The name under which watchers of an operator pin what they serve."""
    return f"watcher-{deployment.chain_id}-{operator.lower()}"


def _bucket(scheme: str, settings: ArtifactSettings, *, anonymous: bool) -> Fetcher:
    return BucketFetcher(scheme, anonymous=anonymous, timeout_s=settings.timeout_s)
