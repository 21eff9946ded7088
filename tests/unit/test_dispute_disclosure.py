from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.court import ShownTrace
from tests.support.subjects import compiled, every_rule, random_inputs

from sworn.codec.trees import depth_of
from sworn.dispute.disclosure import GROUP_CHUNKS, Showable, check, show
from sworn.errors import DisclosureInvalid, TraceCorrupt
from sworn.model.trace_file import TraceFile
from sworn.types import Part, Target
from sworn.verification import CompiledModel, Trace

LARGE = 3_000_000


class Watched(ShownTrace):
    """A trace that counts what is read of it."""

    def __init__(self, values: list[bytes]) -> None:
        super().__init__(values)
        self.read_bytes = 0

    def read(self, value: int, start: int, stop: int) -> bytes:
        """Counts, and reads."""
        self.read_bytes += stop - start
        return super().read(value, start, stop)


@pytest.fixture(scope="module")
def model() -> CompiledModel:
    """A program with a step of every rule."""
    return compiled(*every_rule())


@pytest.fixture
def path(model: CompiledModel, tmp_path: Path) -> Path:
    """One run in a trace file."""
    model.trace(random_inputs(model), path=tmp_path / "run.trace")
    return tmp_path / "run.trace"


def targets_of(trace: Showable) -> list[Target]:
    """Everything that can be demanded of a trace."""
    count = len(trace.data_roots)
    wanted = [
        Target(part=Part.VALUES, level=level, index=index)
        for level in range(depth_of(count) + 1)
        for index in range(-(-count >> level))
    ]
    for value, length in enumerate(trace.lengths):
        chunks = -(-length // 1024)
        wanted += [
            Target(part=Part.NODES, value=value, level=level, index=index)
            for level in range(depth_of(chunks) + 1)
            for index in range(-(-chunks >> level))
        ]
        wanted += [Target(part=Part.CHUNKS, value=value, index=index) for index in range(-(-chunks // GROUP_CHUNKS))]
    return wanted


def test_run_in_memory_and_in_file_show_the_same(model: CompiledModel, path: Path) -> None:
    """A trace shows every part of itself alike, wherever it lies."""
    kept, file = model.trace(random_inputs(model)), TraceFile.load(path)
    filed = Trace.load(model.subject, path)
    targets = targets_of(kept)
    assert len(targets) > 50 and {target.part for target in targets} == {Part.VALUES, Part.NODES, Part.CHUNKS}
    for target in targets:
        shown = show(kept, target)
        assert shown == show(file, target) == show(filed, target)
        check(shown, target, file.trace_root)


def test_chunks_of_large_value_are_read_alone() -> None:
    """Of three megabytes, sixteen chunks are read; for nodes, nothing is."""
    trace = Watched([bytes(LARGE)])
    show(trace, Target(part=Part.NODES, value=0, level=12))
    assert trace.read_bytes == 0
    shown = show(trace, Target(part=Part.CHUNKS, value=0, index=100))
    assert trace.read_bytes == len(shown.chunks) == 16 * 1024


@pytest.mark.parametrize("part", [Part.NODES, Part.CHUNKS])
def test_damaged_trace_file_shows_nothing_wrong(path: Path, part: Part) -> None:
    """A byte that changed on disk makes the trace corrupt instead of a disclosure that would be refused."""
    file = TraceFile.load(path)
    value = max(range(len(file.lengths)), key=file.lengths.__getitem__)
    target = Target(part=part, value=value)
    stored = bytearray(path.read_bytes())
    # The data of a value stand before its tree.
    stored[file._starts[value] + (0 if part is Part.CHUNKS else file.lengths[value])] ^= 1
    path.write_bytes(stored)
    with pytest.raises(TraceCorrupt):
        show(TraceFile.load(path), target)


def test_disclosure_of_another_place_is_refused(model: CompiledModel) -> None:
    """What is right for one demand answers no other."""
    trace = model.trace(random_inputs(model))
    targets = [target for target in targets_of(trace) if target.part is Part.VALUES]
    for wanted in targets[1:]:
        with pytest.raises(DisclosureInvalid):
            check(show(trace, targets[0]), wanted, trace.root)
