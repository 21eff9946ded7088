"""A run with every tensor kept and committed to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sworn.codec.openings import open_data, open_leaves
from sworn.codec.trees import CHUNK_BYTES, seal_tensor, tree_levels
from sworn.errors import ConfigurationError, ShapeMismatch
from sworn.model.commitment import BULK_BYTES, array_bytes, array_roots, linked_root, trace_root
from sworn.model.program import TensorType
from sworn.referee.proof import Statement, TensorsOpening
from sworn.verification.subject import Subject


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trace:
    """All values of one run, with the roots that they lead to and the input and output that were stated.

    Values are numbered as in the program: model inputs first, then one per step. Those of somebody else's trace may
    hold anything, and may have the wrong size.
    """

    subject: Subject
    values: tuple[NDArray[Any], ...]
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
    ) -> Trace:
        """Commits to values; by default the stated input and output are those among them.

        ``threads`` bounds those that hash. Raises `ShapeMismatch` for a value of the wrong element type, or for too few
        values to have outputs.
        """
        program = subject.program
        for number, array in enumerate(values[: subject.value_count]):
            if array.dtype != program.value(number).dtype.numpy:
                raise ShapeMismatch(f"value {number} is {array.dtype}, not {program.value(number).dtype.numpy}")
        roots = array_roots(values, threads=threads)
        needed = (len(program.inputs), *(output.value + 1 for output in program.outputs))
        if len(roots) < max(needed) and None in (input_root, output_root):
            raise ShapeMismatch(f"{len(roots)} values do not reach to the outputs")
        return cls(
            subject=subject,
            values=tuple(np.asarray(array, order="C") for array in values),
            data_roots=roots,
            input_root=input_root or own_input_root(subject, roots),
            output_root=output_root or own_output_root(subject, roots),
        )

    @property
    def root(self) -> bytes:
        """The trace root."""
        return trace_root(self.data_roots)

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
        return element_bits(self.values[value], index)

    def open(self, value: int, start: int, stop: int) -> TensorsOpening:
        """Opens the elements from flat index ``start`` to ``stop``: their chunks, and the way up to `root`.

        Raises `ConfigurationError` for elements that are not there.
        """
        if not (0 <= value < len(self.values) and 0 <= start < stop <= self.values[value].size):
            raise ConfigurationError(f"elements {start} to {stop} of value {value} do not exist")
        size = self.values[value].itemsize
        return self.open_chunks({value: range(start * size // CHUNK_BYTES, (stop * size - 1) // CHUNK_BYTES + 1)})

    def open_chunks(self, chunks: Mapping[int, Iterable[int]]) -> TensorsOpening:
        """Opens chunks of several values, by the value's number."""
        return open_tensors(self.values, self.data_roots, chunks)


def element_bits(array: NDArray[Any], index: int) -> int:
    """An element as unsigned bits, right-aligned, by its flat index."""
    return int(array.reshape(-1)[index : index + 1].view(f"u{array.itemsize}")[0])


def open_tensors(
    arrays: Sequence[NDArray[Any]], roots: Sequence[bytes], chunks: Mapping[int, Iterable[int]]
) -> TensorsOpening:
    """Opens chunks of arrays whose data roots are ``roots``."""
    return TensorsOpening(
        count=len(roots),
        tensors={
            number: open_data(array_bytes(arrays[number]), wanted, bulk=arrays[number].nbytes >= BULK_BYTES)
            for number, wanted in sorted(chunks.items())
        },
        siblings=open_leaves(tree_levels(b"".join(roots)), chunks, count=len(roots)),
    )


def own_input_root(subject: Subject, roots: Sequence[bytes]) -> bytes:
    """The payload root of the model inputs whose data roots stand first among ``roots``."""
    inputs = subject.program.inputs
    return linked_root(inputs, roots[: len(inputs)])


def own_output_root(subject: Subject, roots: Sequence[bytes]) -> bytes:
    """The payload root of the model outputs whose data roots are among ``roots``."""
    program = subject.program
    types = [TensorType(dtype=program.value(each.value).dtype, shape=each.shape) for each in program.outputs]
    return linked_root(types, [roots[each.value] for each in program.outputs])


def same_bits(left: NDArray[Any], right: NDArray[Any]) -> NDArray[np.bool_]:
    """Where two arrays of one type and size hold the same bits, flat."""
    form = f"u{left.itemsize}"
    return np.asarray(left.reshape(-1).view(form) == right.reshape(-1).view(form))
