"""A model in files, as its operator shows it to challengers: weights with their trees, interface, steps.

Two files of the form of a trace: one holds the weights as values; the other the number of inputs, the interface and the
encoded steps, each as a value of bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from sworn.errors import TraceCorrupt, TraceError
from sworn.model.commitment import BULK_BYTES
from sworn.model.encoding import encode_interface, encode_step
from sworn.model.program import Program
from sworn.model.trace_file import TraceFile, TraceRecorder
from sworn.model.words import WORD_BYTES
from sworn.types import ZERO_HASH, Model, ModelId

_WEIGHTS, _PROGRAM = "weights", "program"
#: Values of the second file before the steps.
_HEAD_VALUES: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ExhibitFile:
    """A model that lies in files; weights are read when they are shown."""

    model: Model
    weights: TraceFile
    inputs: int
    interface: bytes
    steps: tuple[bytes, ...]

    @classmethod
    def load(cls, folder: Path, model: Model) -> Self:
        """Opens what `write_exhibit` wrote. Raises `TraceCorrupt` and `TraceError`."""
        program = TraceFile.load(folder / _PROGRAM)
        parts = [program.read(value, 0, length) for value, length in enumerate(program.lengths)]
        if len(parts) < _HEAD_VALUES:
            raise TraceCorrupt("the exhibit has no interface")
        inputs, interface, *steps = parts
        return cls(
            model=model,
            weights=TraceFile.load(folder / _WEIGHTS),
            inputs=int.from_bytes(inputs),
            interface=interface,
            steps=tuple(steps),
        )


def write_exhibit(folder: Path, program: Program, weights: Sequence[NDArray[Any]], *, model_id: ModelId) -> None:
    """Writes a model's exhibit into a folder, which may be there; its program comes last. Raises `TraceError`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TraceError(f"the exhibit cannot be written: {error}") from error
    steps = [encode_step(program, number) for number in range(len(program.steps))]
    head = (len(program.inputs).to_bytes(WORD_BYTES), encode_interface(program))
    _write(folder / _WEIGHTS, weights, model_id)
    _write(folder / _PROGRAM, [np.frombuffer(part, dtype=np.uint8) for part in (*head, *steps)], model_id)


def _write(path: Path, values: Sequence[NDArray[Any]], model_id: ModelId) -> None:
    bulk = sum(value.nbytes for value in values) >= BULK_BYTES
    partial = path.with_suffix(".partial")
    try:
        with partial.open("wb") as file:
            recorder = TraceRecorder(file, len(values))
            for value in values:
                recorder.record(value, bulk)
            recorder.seal(model_id=model_id, input_root=ZERO_HASH, output_root=ZERO_HASH)
        partial.replace(path)
    except OSError as error:
        raise TraceError(f"the exhibit cannot be written: {error}") from error
