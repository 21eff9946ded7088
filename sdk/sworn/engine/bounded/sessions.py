"""Sessions of onnxruntime that compute a canonical graph as it is written, and the errors that they may raise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as state

from sworn.errors import RunFailed
from sworn.model.canonical import GraphModel

Array = NDArray[Any]

#: Everything that onnxruntime raises when it builds or runs a session.
RUNTIME_ERRORS: tuple[type[Exception], ...] = (
    state.EPFail,
    state.EngineError,
    state.Fail,
    state.InvalidArgument,
    state.InvalidGraph,
    state.InvalidProtobuf,
    state.ModelRequiresCompilation,
    state.NoModel,
    state.NoSuchFile,
    state.NotFound,
    state.NotImplemented,
    state.RuntimeException,
    RuntimeError,
    ValueError,
    TypeError,
    MemoryError,
)


class Session:
    """One graph, ready to run; safe for many threads. Raises `RunFailed` where onnxruntime refuses the graph."""

    def __init__(self, model: GraphModel, *, threads: int) -> None:
        self.model = model
        self._names = list(model.outputs)
        # They share the arrays' memory, and onnxruntime refers to them as long as the session lives.
        self._constants = {
            name: onnxruntime.OrtValue.ortvalue_from_numpy(array) for name, array in model.constants.items()
        }
        options = _options(threads)
        if self._constants:
            options.add_external_initializers(list(self._constants), list(self._constants.values()))
        try:
            self._session = onnxruntime.InferenceSession(
                model.artifact, sess_options=options, providers=["CPUExecutionProvider"]
            )
        except RUNTIME_ERRORS as error:
            raise RunFailed(f"onnxruntime refuses the canonical graph: {error}") from error

    def run(self, feeds: Mapping[str, Array]) -> Sequence[Array]:
        """The model's outputs in their order. Raises `RunFailed`."""
        try:
            found: Sequence[Array] = self._session.run(self._names, feeds)
        except RUNTIME_ERRORS as error:
            raise RunFailed(f"onnxruntime failed: {error}") from error
        return found


class NoSession:
    """A graph without nodes: every value that it gives is another order of one that it takes."""

    def __init__(self, model: GraphModel) -> None:
        self.model = model

    def run(self, _: Mapping[str, Array]) -> Sequence[Array]:
        """Nothing."""
        return ()


def session_of(model: GraphModel, *, threads: int) -> Session | NoSession:
    """What runs a graph. Raises `RunFailed`."""
    return Session(model, threads=threads) if model.outputs else NoSession(model)


def _options(threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.use_deterministic_compute = True
    options.log_severity_level = 4
    options.add_session_config_entry("session.set_denormal_as_zero", "0")
    return options


def run_once(model: GraphModel, feeds: Mapping[str, Array]) -> Sequence[Array]:
    """The outputs of a model that is run a single time, on one thread. Raises `RunFailed`."""
    return Session(model, threads=1).run(feeds)
