"""What a model gives for a payload in profile `exact`, as far as it gives anything: claims are held against that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sworn.codec.payload import RawTensor, split_payload
from sworn.codec.trees import payload_root
from sworn.errors import ConfigurationError, EngineError
from sworn.model.isolation import isolate_step
from sworn.model.weight_rules import faulty
from sworn.types import Profile, Schema
from sworn.verification import CompiledModel, Trace
from sworn.verification.recomputation import Recomputation

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnRun:
    """The values of a run up to where it stops, and why it stops there."""

    #: Fewer values than the program has where the run stops early; none where the payload does not fit the model.
    trace: Trace
    #: (value, element) of the model's inputs or outputs that no payload may hold, though the run gives it.
    unpayable: tuple[int, int] | None = None
    #: (value, element) that the values before it give no value.
    impossible: tuple[int, int] | None = None

    @property
    def fits(self) -> bool:
        """Whether the payload has the types and shapes of the model's inputs."""
        return len(self.trace.values) > 0


def own_run(model: CompiledModel, payload: bytes, *, path: Path | None = None) -> OwnRun:
    """Runs a model on a payload whose structure is sound, whatever its elements are.

    The trace is kept in a file at ``path``, or as `CompiledModel.trace` keeps it. Raises `PayloadMalformed`,
    `ConfigurationError` for a model in another profile, `TraceError`.
    """
    if model.model.profile is not Profile.EXACT:
        raise ConfigurationError("only in profile exact is one's own run the truth")
    tensors, schema = split_payload(payload), model.schema
    if not _fit(tensors, schema):
        return OwnRun(trace=_kept(model, [], payload))
    inputs = [_array(tensor) for tensor in tensors]
    unpayable = first_unpayable(inputs)
    if unpayable is not None:
        return OwnRun(trace=_kept(model, inputs, payload), unpayable=unpayable)
    try:
        named = {spec.name: array for spec, array in zip(schema.inputs, inputs, strict=True)}
        return OwnRun(trace=model.trace(named, path=path))
    except EngineError:
        return _unanswered(model, inputs, payload)


def first_unpayable(arrays: Sequence[Array]) -> tuple[int, int] | None:
    """The first array and element that no payload may hold: NaN, −0, an infinity, a bool other than 0 and 1."""
    for number, array in enumerate(arrays):
        flat = array.reshape(-1)
        bad = faulty(flat) | np.isinf(flat) if flat.dtype.kind == "f" else faulty(flat)
        if bad.any():
            return number, int(np.flatnonzero(bad)[0])
    return None


def _unanswered(model: CompiledModel, inputs: Sequence[Array], payload: bytes) -> OwnRun:
    """The same run step by step, to where it has no value, or an output that is infinite."""
    values, program = [np.asarray(each) for each in inputs], model.program
    for number in range(len(program.steps)):
        operands = {value: values[value] for value in isolate_step(program, number).values}
        try:
            values.append(model.checker.run_step(number, operands))
        except EngineError:
            trace = _kept(model, values, payload)
            again = Recomputation(trace, number, model.checker, model.make_executor)
            return OwnRun(trace=trace, impossible=(again.value, again.without_value()))
    outputs = [output.value for output in program.outputs]
    found = first_unpayable([values[value] for value in outputs])
    unpayable = None if found is None else (outputs[found[0]], found[1])
    return OwnRun(trace=_kept(model, values, payload), unpayable=unpayable)


def _kept(model: CompiledModel, values: Sequence[Array], payload: bytes) -> Trace:
    root = payload_root(payload)
    return Trace.of(model.subject, values, input_root=root, output_root=root)


def _fit(tensors: Sequence[RawTensor], schema: Schema) -> bool:
    given = [(tensor.dtype, tensor.shape) for tensor in tensors]
    return given == [(spec.dtype, spec.shape) for spec in schema.inputs]


def _array(tensor: RawTensor) -> Array:
    """The elements as they are, bit for bit."""
    swapped = np.frombuffer(tensor.data, tensor.dtype.numpy.newbyteorder(">")).reshape(tensor.shape)
    # A cast from bool to bool would make every byte but 0 a 1.
    return swapped.copy() if tensor.dtype.itemsize == 1 else swapped.astype(tensor.dtype.numpy)
