"""A stretch of steps in onnxruntime: one session that gives what others need, and one that gives every value."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sworn.engine.bounded.sessions import session_of
from sworn.errors import RunFailed
from sworn.model.canonical import Form, Graph, GraphModel, restored, stored
from sworn.model.program import Program, TensorType
from sworn.types import DType

Array = NDArray[Any]

_ZERO = np.float32(0.0)
_SEED = 20260101


class GuardFailed(RunFailed):
    """A value left the range in which the kernels are known to be right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Taking:
    """Where a session leaves a value: its place among the outputs, or the value whose tensor it is a view of."""

    value: int
    place: int | None
    source: int
    #: How its dimensions lie in memory; None where they lie as they should.
    layout: tuple[tuple[int, ...], tuple[int, ...]] | None
    shape: tuple[int, ...]
    dtype: DType

    def from_run(self, found: Sequence[Array], values: Mapping[int, Array]) -> Array:
        """The value in the program's order, −0 as +0."""
        array = values[self.source] if self.place is None else restored(found[self.place], self.dtype)
        if self.layout is not None:
            array = array.reshape(self.layout[0]).transpose(self.layout[1])
        if array.dtype == np.float32:
            array = np.add(array, _ZERO, order="C")
        elif self.layout is not None or self.place is None:
            array = np.array(array, order="C")
        return array.reshape(self.shape)


class _Runner:
    """A session with what to feed it and what to make of its outputs."""

    def __init__(self, program: Program, graph: Graph, gives: Sequence[int], *, threads: int) -> None:
        self.model = model = graph.model(gives)
        self.feeds = tuple(model.inputs.items())
        self._session = session_of(model, threads=threads)
        self._guards = graph.guards
        self._first = len(model.outputs) - len(self._guards)
        places = {name: place for place, name in enumerate(model.outputs)}
        taken = {graph.forms[value].name: value for value in graph.takes}
        self._takings = tuple(_taking(program, graph.forms[value], value, places, taken) for value in gives)

    def run(self, values: Mapping[int, Array]) -> dict[int, Array]:
        """The values that it gives. Raises `GuardFailed` and `RunFailed`."""
        found = self.try_out(values)
        for guard, scalar in zip(self._guards, found[self._first :], strict=True):
            if not guard.passes(float(scalar)):
                raise GuardFailed(f"value {guard.value} fails {guard.kind.value} {guard.limit}: {float(scalar)}")
        return {taking.value: taking.from_run(found, values) for taking in self._takings}

    def try_out(self, values: Mapping[int, Array]) -> Sequence[Array]:
        """What the session gives, unjudged. Raises `RunFailed`."""
        return self._session.run({name: stored(values[value]) for name, value in self.feeds})

    def raw(self, found: Sequence[Array], value: int) -> Array | None:
        """The tensor of a value among what the session gave; None where it is one that it took."""
        taking = next(taking for taking in self._takings if taking.value == value)
        return None if taking.place is None else found[taking.place]


def _taking(program: Program, form: Form, value: int, places: Mapping[str, int], taken: Mapping[str, int]) -> _Taking:
    layout = None if form.is_flat else (tuple(digit.size for digit in form.digits), form.order)
    return _Taking(
        value=value,
        place=places.get(form.name),
        source=taken.get(form.name, value),
        layout=layout,
        shape=program.value(value).shape,
        dtype=program.value(value).dtype,
    )


class KernelPart:
    """Steps that onnxruntime computes. ``gives`` are the values that an answer needs of them.

    Raises `RunFailed` where onnxruntime refuses the graph, or does not get through it.
    """

    def __init__(
        self, program: Program, graph: Graph, steps: Sequence[int], *, gives: Collection[int], threads: int
    ) -> None:
        self.steps = tuple(steps)
        self.gives = tuple(sorted(gives))
        self._traced = _Runner(program, graph, [len(program.inputs) + number for number in steps], threads=threads)
        self._plain = _Runner(program, graph, self.gives, threads=threads)
        if not self._is_consistent(program):
            self._plain = self._traced

    @property
    def takes(self) -> tuple[int, ...]:
        """The values that it reads from others."""
        return tuple(sorted({value for _, value in self._traced.feeds}))

    @property
    def plain_model(self) -> GraphModel:
        """The graph that answers come from."""
        return self._plain.model

    @property
    def is_traced_always(self) -> bool:
        """Whether answers come from the session that gives every value, because the other one gave other bits."""
        return self._plain is self._traced

    def run(self, values: Mapping[int, Array], *, is_traced: bool) -> dict[int, Array]:
        """What it gives, and with ``is_traced`` every value. Raises `GuardFailed` and `RunFailed`."""
        return (self._traced if is_traced else self._plain).run(values)

    def _is_consistent(self, program: Program) -> bool:
        """Whether both sessions give the same bits for some values."""
        generator = np.random.default_rng(_SEED)
        values = {value: _sample(generator, program.value(value)) for value in self.takes}
        traced, plain = (runner.try_out(values) for runner in (self._traced, self._plain))
        pairs = ((self._traced.raw(traced, value), self._plain.raw(plain, value)) for value in self.gives)
        return all(left is None or right is None or _bits(left) == _bits(right) for left, right in pairs)


def _sample(generator: np.random.Generator, kind: TensorType) -> Array:
    """Values of a type; integers are 0 or 1, which are positions in most tables."""
    if kind.dtype.numpy == np.float32:
        return generator.standard_normal(kind.shape).astype(np.float32)
    return generator.integers(0, 2, kind.shape).astype(kind.dtype.numpy)


def _bits(array: Array) -> bytes:
    """The bits of an array, −0 as +0."""
    return (array + _ZERO if array.dtype == np.float32 else array).tobytes()
