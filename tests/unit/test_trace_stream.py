from __future__ import annotations

import threading
import tracemalloc
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support.programs import step, tensor, value
from tests.support.subjects import compiled, every_rule, random_inputs

from sworn.codec.trees import data_root
from sworn.engine.bounded import BoundedExecutor
from sworn.engine.exact import ExactExecutor
from sworn.errors import TraceError
from sworn.model import trace_stream
from sworn.model.program import Function, Pointwise, Program, ProgramOutput
from sworn.model.trace_stream import MAX_WAITING, TraceStream

#: Float32 elements of each value: 1 MiB.
SIZE = 1 << 18


def chain(length: int) -> Program:
    """Steps that each negate the value before, all of one size."""
    steps = [
        step(Pointwise(function=Function.NEG, operands=(value(number, (1,)),)), (SIZE,)) for number in range(length)
    ]
    outputs = (ProgramOutput(value=length, shape=(SIZE,)),)
    return Program(inputs=(tensor((SIZE,)),), weights=(), steps=tuple(steps), outputs=outputs)


def values(count: int) -> list[NDArray[Any]]:
    """Distinct values of the chain's size."""
    return [np.full(SIZE, number, dtype=np.float32) for number in range(count)]


def test_stream_hashes_in_another_thread_and_gives_the_roots_in_order() -> None:
    """The run's own thread hashes nothing of a large run."""
    threads: set[str] = set()

    def accept(array: NDArray[Any], bulk: bool) -> bytes:
        threads.add(threading.current_thread().name)
        return data_root(array.astype(">f4").tobytes(), bulk=bulk)

    arrays = values(5)
    with TraceStream(chain(4), accept) as stream:
        for number, array in enumerate(arrays):
            stream.write(number, array)
        roots = stream.finish()
    assert roots == tuple(data_root(array.astype(">f4").tobytes()) for array in arrays)
    assert threading.current_thread().name not in threads and len(threads) == 1


def test_stream_with_a_slow_taker_lets_the_run_wait() -> None:
    """However far the run could be ahead, no more than a few values are held."""
    gate = threading.Event()
    held: list[weakref.ref[NDArray[Any]]] = []

    def accept(array: NDArray[Any], bulk: bool) -> bytes:
        assert gate.wait(60)
        return bytes(32)

    def run(stream: TraceStream) -> None:
        for number in range(9):
            array = np.zeros(SIZE, dtype=np.float32)
            held.append(weakref.ref(array))
            stream.write(number, array)

    with TraceStream(chain(8), accept) as stream:
        running = threading.Thread(target=run, args=(stream,))
        running.start()
        running.join(0.5)
        assert running.is_alive()
        assert sum(each() is not None for each in held) <= MAX_WAITING + 2
        gate.set()
        running.join(60)
        assert len(stream.finish()) == 9


@pytest.mark.parametrize("threaded", [True, False])
def test_stream_whose_taker_fails_stops_the_run(threaded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The taker's error comes out of a later value or of the end, and nothing hangs."""
    monkeypatch.setattr(trace_stream, "THREAD_BYTES", 0 if threaded else 1 << 60)
    taken = 0

    def accept(array: NDArray[Any], bulk: bool) -> bytes:
        nonlocal taken
        taken += 1
        raise TraceError("no space")

    def run(stream: TraceStream, count: int) -> None:
        for number, array in enumerate(values(count)):
            stream.write(number, array)
        stream.finish()

    for count in (1, 41):
        taken = 0
        with TraceStream(chain(count - 1), accept) as stream, pytest.raises(TraceError, match="no space"):
            run(stream, count)
        assert 1 <= taken <= MAX_WAITING + 1


@pytest.mark.parametrize("executor", [ExactExecutor, BoundedExecutor])
def test_values_once_handed_on_are_not_written_again(executor: type[ExactExecutor] | type[BoundedExecutor]) -> None:
    """A thread may hash a value while the run goes on: it comes in its turn, once, and stays what it is."""
    program, weights = every_rule()
    made = executor(program, weights)
    inputs = list(random_inputs(compiled(program, weights)).values())
    taken: list[tuple[int, NDArray[Any], bytes]] = []

    def take(value: int, array: NDArray[Any]) -> None:
        taken.append((value, array, array.tobytes()))

    for _ in range(2):
        made.run(inputs, include_virtual=True, on_value=take)
    kept = made.run(inputs, keep=True, include_virtual=True)
    assert [value for value, _, _ in taken] == [*range(len(kept))] * 2
    assert all(array.tobytes() == first == kept[value].tobytes() for value, array, first in taken)
    assert all(array.shape == kept[value].shape for value, array, _ in taken)


def test_trace_to_a_file_needs_memory_for_a_few_values_only(tmp_path: Path) -> None:
    """A run of 41 MiB in a tenth of that: values go as soon as they are stored and not needed."""
    model = compiled(chain(40), ())
    inputs = random_inputs(model)
    expected = model.trace(inputs).root
    tracemalloc.start()
    try:
        trace = model.trace(inputs, path=tmp_path / "run")
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert trace.root == expected
    assert most < 10 * 4 * SIZE
