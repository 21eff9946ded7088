"""A worker process and its keeper on another machine, without the way between: orders and replies as they travel."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support import graphs
from tests.support.workforces import is_gone, until

from sworn.engine.outpost import Order, Outpost, Reply
from sworn.engine.scratch import Scratch
from sworn.engine.worker import pack_tensor, unpack_tensor

_Value = TypeVar("_Value")
ELEMENTS = 200_000
LOAD = {"operation": "load", "provider": "CPUExecutionProvider", "optimisation": 0}
THREADS = {"intra_threads": 1, "inter_threads": 1}


@pytest.fixture
def outpost() -> Iterator[Outpost]:
    """A keeper of one process of onnxruntime."""
    kept = Outpost("worker.py", 2, 60.0)
    yield kept
    kept.close()


def carried(value: _Value) -> tuple[_Value, int]:
    """A value as it arrives, and the bytes of it that were pickled; what is out of band arrives for reading only."""
    buffers: list[pickle.PickleBuffer] = []
    pickled = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    arrived = pickle.loads(pickled, buffers=[bytes(each.raw()) for each in buffers])
    return arrived, len(pickled)


def order(header: dict[str, Any], *blobs: bytes | memoryview, timeout_s: float = 30.0) -> Order:
    """A message to a worker."""
    arrays = tuple(np.frombuffer(blob, dtype=np.uint8) for blob in blobs)
    return Order(header=header, blobs=arrays, timeout_s=timeout_s, memory_bytes=1 << 30)


def loaded(outpost: Outpost, key: str, artifact: bytes) -> Reply:
    """What comes of loading a model."""
    return outpost.exchange(order({**LOAD, **THREADS, "key": key}, artifact))


def run_of(key: str, array: NDArray[Any], *, timeout_s: float = 30.0) -> Order:
    """The order to run a model from x to y."""
    entry, blob = pack_tensor("x", array)
    header = {"operation": "run", "key": key, "outputs": ["y"], "tensors": [entry]}
    return order(header, blob, timeout_s=timeout_s)


def test_elements_of_tensors_travel_beside_the_pickle_in_both_directions(outpost: Outpost) -> None:
    """Bytes would be copied into the pickle and out of it, and an image costs as much as a small model then."""
    assert outpost.start().outcome == "answered"
    assert loaded(outpost, "negation", graphs.unary("Neg", shape=[ELEMENTS])).header == {"status": "loaded"}
    sent = np.arange(ELEMENTS, dtype=np.float32)
    arrived, order_bytes = carried(run_of("negation", sent))
    reply, reply_bytes = carried(outpost.exchange(arrived))
    assert max(order_bytes, reply_bytes) < 4096 < sent.nbytes
    (blob,), (entry,) = reply.blobs, reply.header["tensors"]
    np.testing.assert_array_equal(unpack_tensor(entry, bytearray(blob))[1], -sent)


def test_process_that_is_killed_is_told_of_and_the_next_order_finds_a_new_one(outpost: Outpost) -> None:
    """The keeper lives on, says who died, and greets with a process that knows no model."""
    first = outpost.start()
    loaded(outpost, "negation", graphs.unary("Neg"))
    assert first.pid is not None and first.greeting is not None
    os.kill(first.pid, signal.SIGSTOP)
    os.kill(first.pid, signal.SIGKILL)
    assert until(lambda: is_gone(first.pid or 0))
    second = outpost.exchange(run_of("negation", np.ones(2, dtype=np.float32)))
    if second.outcome == "died":
        second = outpost.exchange(run_of("negation", np.ones(2, dtype=np.float32)))
    assert (second.outcome, second.header) == ("answered", {"status": "needed"})
    assert second.pid != first.pid and second.greeting is not None


def test_run_over_its_time_ends_at_the_outpost_with_its_process(outpost: Outpost) -> None:
    """The limit is kept where the process is, whatever the way between the machines does."""
    pid = outpost.start().pid
    assert loaded(outpost, "loop", graphs.endless_loop()).outcome == "answered"
    reply = outpost.exchange(run_of("loop", np.ones(2, dtype=np.float32), timeout_s=0.3))
    assert reply.outcome == "timeout" and pid is not None
    assert until(lambda: is_gone(pid))


KEEPER = """
import os, signal, sys, tempfile
from sworn.engine.scratch import Scratch
scratch = Scratch()
(scratch.path / "written").write_bytes(bytes(1000))
print(scratch.path, flush=True)
sys.stdin.read()
"""


def test_folder_of_a_keeper_that_was_killed_is_removed_by_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Actors are killed, never closed: each would leave a trace behind until the disk is full. Living ones keep theirs.

    So do folders that only look like one, and those whose owners have just begun.
    """
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with ExitStack() as running:
        keepers = [
            running.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", KEEPER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
                )
            )
            for _ in range(2)
        ]
        for keeper in keepers:
            running.callback(keeper.kill)
        dead, living = (Path((keeper.stdout or sys.stdin.buffer).readline().decode().strip()) for keeper in keepers)
        keepers[0].kill()
        keepers[0].wait()
        stranger = tmp_path / "sworn-outpost-stranger"
        stranger.mkdir()
        Scratch().close()
        assert dead.exists()
        for folder in (dead, living, stranger):
            os.utime(folder, (0, 0))
        own = Scratch()
        assert [path.exists() for path in (dead, living / "written", stranger, own.path)] == [False, True, True, True]
        own.close()
        assert not own.path.exists()
