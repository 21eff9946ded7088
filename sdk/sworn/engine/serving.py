"""One engine for every profile: programs where there are some, plain onnxruntime where nothing is promised."""

from __future__ import annotations

from pathlib import Path

from sworn.engine.identification import identify
from sworn.engine.onnx_engine import OnnxEngine
from sworn.engine.program_engine import ProgramEngine
from sworn.engine.protocol import IdentifiedModel, ModelSource, Run, RunLimits
from sworn.types import Profile, Tensors


class ServingEngine:
    """An `Engine` for every profile. ``workers`` models run at once in each, with ``threads`` threads."""

    def __init__(self, *, workers: int = 1, threads: int = 1) -> None:
        self._programs = ProgramEngine(workers=workers, threads=threads)
        self._onnx = OnnxEngine(workers=workers, threads=threads)

    @property
    def worker_pids(self) -> tuple[int, ...]:
        """Process ids of the workers that have been started."""
        return (*self._programs.worker_pids, *self._onnx.worker_pids)

    def identify(self, source: ModelSource, *, limits: RunLimits | None = None) -> IdentifiedModel:
        """What a source is; compiled in a worker where the profile has programs. Raises as `Engine.identify` does."""
        if source.profile is Profile.SIGNED:
            return identify(source)
        return self._programs.identify(source, limits=limits)

    def run(
        self,
        model: IdentifiedModel,
        inputs: Tensors,
        *,
        limits: RunLimits | None = None,
        trace_file: Path | None = None,
    ) -> Run:
        """The outputs of a model on some inputs. Raises as `Engine.run` does."""
        if model.model.profile is Profile.SIGNED:
            return Run(outputs=self._onnx.run(model.source.artifact, inputs, limits=limits))
        return self._programs.run(model, inputs, limits=limits, trace_file=trace_file)

    def exhibit(self, model: IdentifiedModel, folder: Path, *, limits: RunLimits | None = None) -> None:
        """Writes a model with a program into a folder. Raises as `Exhibitor.exhibit` does."""
        self._programs.exhibit(model, folder, limits=limits)

    def close(self) -> None:
        """Kills every worker; runs under way raise `EngineError`. Idempotent."""
        self._programs.close()
        self._onnx.close()

    def __enter__(self) -> ServingEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
