"""Puts the engine together from its settings."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from sworn.engine.process import Processes
from sworn.engine.protocol import IdentifiedModel, RunLimits
from sworn.engine.serving import ServingEngine
from sworn.engine.terms import ModelTerms
from sworn.engine.workers import Workforce
from sworn.watcher.settings_engines import EngineKind, EngineSettings

#: A model, the terms on which it runs, and what one run may use.
Served = tuple[IdentifiedModel, ModelTerms, RunLimits]


def engine_of(values: EngineSettings, *, models: int = 0) -> ServingEngine:
    """The configured engine, which keeps at least ``models`` loaded; nothing runs yet.

    Raises `ConfigurationError` where what it needs is not installed.
    """
    return ServingEngine(
        workers=values.workers,
        threads=values.threads,
        max_models=models,
        memory_bytes=values.memory_bytes,
        workforce=_workforce(values),
    )


def serve_models(
    engine: ServingEngine, models: Iterable[Served], *, warm: bool, report: Callable[[IdentifiedModel, float], None]
) -> None:
    """Gives models their terms and has them loaded; ``report`` hears how many seconds each took.

    Raises `ConfigurationError` for terms that a model or its server does not allow, and what a run raises.
    """
    for model, terms, limits in models:
        begun = time.monotonic()
        engine.serve(model, terms, limits=limits)
        if warm:
            engine.warm(model, limits=limits)
        report(model, time.monotonic() - begun)


def _workforce(values: EngineSettings) -> Workforce:
    if values.kind is EngineKind.POOL:
        return Processes(cache_folder=values.cache_folder)
    # Ray need not be installed where it is not used.
    from sworn.engine.ray_workforce import RayPlacement, RayWorkforce

    placement = RayPlacement(
        address=values.ray.address, cpus_per_worker=values.ray.cpus_per_worker, resources=values.ray.resources
    )
    return RayWorkforce(placement, workers=values.workers)
