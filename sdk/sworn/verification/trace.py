"""A run with every tensor committed to."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from sworn.codec.openings import open_leaves
from sworn.codec.trees import CHUNK_BYTES, seal_data, seal_tensor, tree_levels
from sworn.errors import ConfigurationError, ShapeMismatch, TraceCorrupt, TraceError
from sworn.model import commitment
from sworn.model.commitment import array_levels, array_trees, expected_bytes, trace_root
from sworn.model.trace_file import TraceFile, TraceWriter
from sworn.model.trace_stream import TraceStream
from sworn.referee.proof import Statement, TensorsOpening
from sworn.verification.subject import OnValue, Subject
from sworn.verification.trace_values import FiledValues, KeptValues, TraceValues

#: Values of a run up to which they are kept in memory, with their trees.
KEEP_BYTES: Final = 256 << 20

#: Gives the values of a run in their order, with their numbers, to what it is called with.
Run = Callable[[OnValue], None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trace:
    """All values of one run, with the roots that they lead to and the input and output that were stated.

    Values are numbered as in the program: model inputs first, then one per step. Those of somebody else's trace may
    hold anything, and may have the wrong size.
    """

    subject: Subject
    values: TraceValues
    #: Data root of each value: the leaves under `root`.
    data_roots: tuple[bytes, ...]
    input_root: bytes
    output_root: bytes

    @classmethod
    def of(
        cls,
        subject: Subject,
        values: Sequence[NDArray[Any]],
        *,
        input_root: bytes | None = None,
        output_root: bytes | None = None,
        threads: int = 1,
    ) -> Self:
        """Commits to values; by default the stated input and output are those among them.

        ``threads`` bounds those that hash. Raises `ShapeMismatch` for a value of the wrong element type, or for too few
        values to have outputs.
        """
        program = subject.program
        for number, array in enumerate(values[: subject.value_count]):
            if array.dtype != program.value(number).dtype.numpy:
                raise ShapeMismatch(f"value {number} is {array.dtype}, not {program.value(number).dtype.numpy}")
        needed = (len(program.inputs), *(output.value + 1 for output in program.outputs))
        if len(values) < max(needed) and None in (input_root, output_root):
            raise ShapeMismatch(f"{len(values)} values do not reach to the outputs")
        trees = array_trees(values, threads=threads)
        roots = tuple(seal_data(array.nbytes, levels[-1]) for array, levels in zip(values, trees, strict=True))
        return cls(
            subject=subject,
            values=KeptValues(values, trees),
            data_roots=roots,
            input_root=input_root or own_input_root(subject, roots),
            output_root=output_root or own_output_root(subject, roots),
        )

    @classmethod
    def record(
        cls, subject: Subject, run: Run, *, path: str | os.PathLike[str] | None = None, keep_bytes: int = KEEP_BYTES
    ) -> Self:
        """Commits to the values of a run while it goes on.

        They are kept in a trace file at ``path``, which appears when the run is over; without it in memory, or from
        more than ``keep_bytes`` on in a temporary file. Raises what ``run`` raises, and `TraceError`.
        """
        if path is not None:
            with TraceWriter(path, subject.program, model_id=subject.model_id) as writer:
                run(writer.write)
                writer.finish()
            return cls._filed(subject, TraceFile.load(path))
        types = map(subject.program.value, range(subject.value_count))
        if sum(map(expected_bytes, types)) > keep_bytes:
            return cls._filed(subject, _spilled(subject, run))
        arrays: list[NDArray[Any]] = []
        trees: list[tuple[bytes, ...]] = []

        def keep(array: NDArray[Any], bulk: bool) -> bytes:
            arrays.append(array)
            trees.append(array_levels(array, bulk=bulk))
            return seal_data(array.nbytes, trees[-1][-1])

        with TraceStream(subject.program, keep) as stream:
            run(stream.write)
            roots = stream.finish()
        return cls(
            subject=subject,
            values=KeptValues(arrays, trees),
            data_roots=roots,
            input_root=own_input_root(subject, roots),
            output_root=own_output_root(subject, roots),
        )

    @classmethod
    def load(cls, subject: Subject, path: str | os.PathLike[str], *, verify: bool = True) -> Self:
        """A trace from its file; values are read when they are asked for.

        With ``verify`` every byte is hashed first; without, only what is opened is checked. Raises `ConfigurationError`
        for a trace of another model, `TraceCorrupt` and `TraceError`.
        """
        file = TraceFile.load(path)
        if file.model_id != subject.model_id:
            raise ConfigurationError("the trace is of another model")
        if verify:
            file.verify()
        return cls._filed(subject, file)

    @classmethod
    def _filed(cls, subject: Subject, file: TraceFile) -> Self:
        types = [subject.program.value(number) for number in range(subject.value_count)]
        fits = len(types) == len(file.lengths) and not any(
            length % kind.dtype.itemsize for length, kind in zip(file.lengths, types, strict=True)
        )
        if not fits:
            raise TraceCorrupt("the trace does not hold whole elements of every value")
        return cls(
            subject=subject,
            values=FiledValues(file, types),
            data_roots=file.data_roots,
            input_root=file.input_root,
            output_root=file.output_root,
        )

    @property
    def root(self) -> bytes:
        """The trace root."""
        return trace_root(self.data_roots)

    @property
    def lengths(self) -> tuple[int, ...]:
        """Bytes of each value."""
        return tuple(map(self.values.length, range(len(self.values))))

    @property
    def tensor_roots(self) -> tuple[bytes, ...]:
        """Tensor root of each value, in the type that the program gives it."""
        types = (self.subject.program.value(number) for number in range(self.subject.value_count))
        return tuple(
            seal_tensor(each.dtype, each.shape, root) for each, root in zip(types, self.data_roots, strict=True)
        )

    @property
    def statement(self) -> Statement:
        """What this run claims."""
        return Statement(
            model_id=self.subject.model_id,
            input_root=self.input_root,
            output_root=self.output_root,
            trace_root=self.root,
        )

    @property
    def outputs(self) -> dict[str, NDArray[Any]]:
        """The model's outputs by name."""
        program, names = self.subject.program, (spec.name for spec in self.subject.schema.outputs)
        found = (self.values[output.value].reshape(output.shape) for output in program.outputs)
        return dict(zip(names, found, strict=True))

    def tensor(self, step: int) -> NDArray[Any]:
        """What a step wrote. Raises `ConfigurationError` for a step that is not there."""
        if not 0 <= step < len(self.subject.program.steps):
            raise ConfigurationError(f"step {step} of {len(self.subject.program.steps)} does not exist")
        return self.values[len(self.subject.program.inputs) + step]

    def bits(self, value: int, index: int) -> int:
        """An element as unsigned bits, by its flat index."""
        return self.values.bits(value, index)

    def levels(self, value: int) -> Sequence[bytes | memoryview]:
        """The levels of a value's chunk tree, from its leaves to its root."""
        return self.values.levels(value)

    def read(self, value: int, start: int, stop: int) -> bytes:
        """Committed bytes of a value, from the start of one element to the end of another."""
        return self.values.read(value, start, stop)

    def open(self, value: int, start: int, stop: int) -> TensorsOpening:
        """Opens the elements from flat index ``start`` to ``stop``: their chunks, and the way up to `root`.

        Raises `ConfigurationError` for elements that are not there, and `TraceCorrupt`.
        """
        if not (0 <= value < len(self.values) and 0 <= start < stop <= self.values.elements(value)):
            raise ConfigurationError(f"elements {start} to {stop} of value {value} do not exist")
        size = self.subject.program.value(value).dtype.itemsize
        return self.open_chunks({value: range(start * size // CHUNK_BYTES, (stop * size - 1) // CHUNK_BYTES + 1)})

    def open_chunks(self, chunks: Mapping[int, Iterable[int]]) -> TensorsOpening:
        """Opens chunks of several values, by the value's number. Raises `TraceCorrupt`."""
        return _open(self.values, self.data_roots, chunks)

    def open_roots(self, values: Collection[int]) -> TensorsOpening:
        """Opens no more than the data roots of some values."""
        roots, chosen = self.data_roots, sorted(values)
        siblings = open_leaves(tree_levels(b"".join(roots)), chosen, count=len(roots))
        return TensorsOpening(count=len(roots), tensors={value: roots[value] for value in chosen}, siblings=siblings)


def _spilled(subject: Subject, run: Run) -> TraceFile:
    """A run's values in a file that goes away with them."""
    try:
        folder = tempfile.TemporaryDirectory(prefix="sworn-trace-", ignore_cleanup_errors=True)
    except OSError as error:
        raise TraceError(f"there is no place for a temporary file: {error}") from error
    with folder as name:
        path = Path(name) / "trace"
        with TraceWriter(path, subject.program, model_id=subject.model_id) as writer:
            run(writer.write)
            writer.finish(durable=False)
        return TraceFile.load(path)


def open_weights(subject: Subject, chunks: Mapping[int, Iterable[int]]) -> TensorsOpening:
    """Opens chunks of several weights, by the weight's number."""
    return _open(KeptValues(subject.weights, subject.weight_trees), subject.weight_roots, chunks)


def _open(values: TraceValues, roots: Sequence[bytes], chunks: Mapping[int, Iterable[int]]) -> TensorsOpening:
    return TensorsOpening(
        count=len(roots),
        tensors={number: values.open(number, wanted) for number, wanted in sorted(chunks.items())},
        siblings=open_leaves(tree_levels(b"".join(roots)), chunks, count=len(roots)),
    )


def own_input_root(subject: Subject, roots: Sequence[bytes]) -> bytes:
    """The payload root of the model inputs whose data roots stand first among ``roots``."""
    return commitment.input_root(subject.program, roots)


def own_output_root(subject: Subject, roots: Sequence[bytes]) -> bytes:
    """The payload root of the model outputs whose data roots are among ``roots``."""
    return commitment.output_root(subject.program, roots)


def same_bits(left: NDArray[Any], right: NDArray[Any]) -> NDArray[np.bool_]:
    """Where two arrays of one type and size hold the same bits, flat."""
    form = f"u{left.itemsize}"
    return np.asarray(left.reshape(-1).view(form) == right.reshape(-1).view(form))
