"""Makes one run of several, along the first axis of their tensors, where an operator has asked for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sworn.engine.terms import Batching
from sworn.errors import ConfigurationError, EngineError
from sworn.types import Schema, TensorSpec

Arrays = dict[str, NDArray[Any]]
RunRows = Callable[[Arrays], Arrays]

#: How far a row's outputs may be from those that it has alone: other sums in another order, no other arithmetic.
_TOLERANCE = 1e-3
_SEED = 5


class _Member:
    """One run in a batch."""

    def __init__(self, inputs: Arrays, rows: int) -> None:
        self.inputs, self.rows = inputs, rows
        #: None = it has to be made alone.
        self.outputs: Arrays | None = None


class _Batch:
    """Runs that will be one; the thread of the first one makes it."""

    def __init__(self) -> None:
        self.members: list[_Member] = []
        self.rows = 0
        self.is_full = threading.Event()
        self.is_done = threading.Event()

    def add(self, member: _Member) -> None:
        self.members.append(member)
        self.rows += member.rows


class Batcher:
    """Gathers the runs of one model; safe for many threads.

    A batch that fails, for whatever reason, is made again run by run: nobody's input spoils another's answer.
    """

    def __init__(self, run: RunRows, schema: Schema, batching: Batching) -> None:
        """Raises `ConfigurationError` for a model whose first axes are not free."""
        if not all(_is_free(spec) for spec in (*schema.inputs, *schema.outputs)):
            raise ConfigurationError("batching needs a model whose inputs and outputs all leave their first axis open")
        self._run_rows, self._schema, self._batching = run, schema, batching
        self._lock = threading.Lock()
        self._open: dict[object, _Batch] = {}

    @property
    def max_rows(self) -> int:
        """Rows of one batch, and so the callers that fill it."""
        return self._batching.max_rows

    def check(self) -> None:
        """Raises `ConfigurationError` for a model in which rows influence each other; one that refuses made-up inputs
        is believed.
        """
        generator = np.random.default_rng(_SEED)
        rows = [{spec.name: _made_up(spec, generator) for spec in self._schema.inputs} for _ in range(2)]
        try:
            alone = [self._run_rows(row) for row in rows]
            together = self._run_rows(_joined(rows))
        except EngineError:
            return
        for name, found in together.items():
            expected = np.concatenate([outputs[name] for outputs in alone])
            if found.shape != expected.shape or not np.allclose(found, expected, rtol=_TOLERANCE, atol=_TOLERANCE):
                raise ConfigurationError(f"batching: the rows of {name!r} depend on each other, or are not one per row")

    def run(self, inputs: Arrays) -> Arrays:
        """The outputs of one run, which fits the schema. Raises what a run raises."""
        rows = {array.shape[0] for array in inputs.values()}
        count = next(iter(rows), 0)
        if len(rows) != 1 or not 0 < count < self._batching.max_rows:
            return self._run_rows(inputs)
        member = _Member(inputs, count)
        batch, is_first = self._joined_batch(member)
        if is_first:
            self._make(batch)
        else:
            batch.is_done.wait()
        return self._run_rows(inputs) if member.outputs is None else member.outputs

    def _joined_batch(self, member: _Member) -> tuple[_Batch, bool]:
        key = tuple((name, array.shape[1:]) for name, array in sorted(member.inputs.items()))
        with self._lock:
            batch = self._open.get(key)
            is_first = batch is None or batch.rows + member.rows > self._batching.max_rows
            if batch is None or is_first:
                batch = self._open[key] = _Batch()
            batch.add(member)
            if batch.rows == self._batching.max_rows:
                batch.is_full.set()
        return batch, is_first

    def _make(self, batch: _Batch) -> None:
        try:
            batch.is_full.wait(self._batching.max_delay_s)
            with self._lock:
                for key in [key for key, each in self._open.items() if each is batch]:
                    del self._open[key]
            if len(batch.members) > 1:
                self._share_out(batch)
        finally:
            batch.is_done.set()

    def _share_out(self, batch: _Batch) -> None:
        try:
            outputs = self._run_rows(_joined([member.inputs for member in batch.members]))
        except EngineError:
            return
        if any(array.shape[0] != batch.rows for array in outputs.values()):
            return
        start = 0
        for member in batch.members:
            stop = start + member.rows
            member.outputs = {name: array[start:stop].copy() for name, array in outputs.items()}
            start = stop


def _joined(rows: Sequence[Arrays]) -> Arrays:
    return {name: np.concatenate([inputs[name] for inputs in rows]) for name in rows[0]}


def _is_free(spec: TensorSpec) -> bool:
    return bool(spec.shape) and spec.shape[0] is None


def _made_up(spec: TensorSpec, generator: np.random.Generator) -> NDArray[Any]:
    shape = [size or 1 for size in spec.shape]
    if spec.dtype.numpy.kind == "f":
        return generator.standard_normal(shape).astype(spec.dtype.numpy)
    return generator.integers(0, 2, shape).astype(spec.dtype.numpy)
