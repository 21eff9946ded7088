"""The folder in which an operator keeps what it defends its results with."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import cast

import pytest
import structlog
from tests.support.databases import opened

from sworn.chain.gateway import Block
from sworn.errors import TraceError
from sworn.types import Address, RequestId
from sworn.watcher.contracts import Contracts
from sworn.watcher.retention import UNSWORN_S, Retention
from sworn.watcher.store.jobs import JobStore
from sworn.watcher.traces import FileTraceStore, KeptTrace

REQUEST = RequestId(b"\x01" * 32)
FIRST = KeptTrace(request_id=REQUEST, trace_root=b"\x02" * 32)
SECOND = KeptTrace(request_id=REQUEST, trace_root=b"\x03" * 32)
ROOM = 1 << 30


def store_in(folder: Path, *, max_total_bytes: int = ROOM) -> FileTraceStore:
    """A store, as after a start."""
    return FileTraceStore(folder, max_total_bytes=max_total_bytes)


def kept(store: FileTraceStore, trace: KeptTrace, content: bytes) -> Path:
    """Keeps a trace with some content and returns its file."""
    draft = store.draft(trace.request_id)
    draft.write_bytes(content)
    store.keep(trace, draft)
    file = store.find(trace)
    assert file is not None
    return file


def test_trace_that_was_kept_is_found_after_a_restart(tmp_path: Path) -> None:
    """The file has its content, its draft is gone, and another root is another trace."""
    file = kept(store_in(tmp_path), FIRST, b"values")
    again = store_in(tmp_path)
    assert again.find(FIRST) == file and file.read_bytes() == b"values"
    assert again.find(SECOND) is None
    assert again.kept() == (FIRST,)


def test_trace_of_a_second_run_never_replaces_the_first(tmp_path: Path) -> None:
    """Two runs for one request leave two files: the one that was sworn keeps its content."""
    store = store_in(tmp_path)
    first = kept(store, FIRST, b"first")
    kept(store, SECOND, b"second")
    assert first.read_bytes() == b"first"
    assert set(store.kept()) == {FIRST, SECOND}


def test_trace_store_at_start_removes_what_was_begun_and_nothing_else(tmp_path: Path) -> None:
    """Drafts and half-written files of a killed process go; kept traces and strangers' files stay."""
    store = store_in(tmp_path)
    file = kept(store, FIRST, b"values")
    draft = store.draft(REQUEST)
    draft.write_bytes(b"half")
    (draft.parent / ".partial-abc").write_bytes(b"half")
    (tmp_path / "notes").write_bytes(b"mine")
    again = store_in(tmp_path)
    assert file.exists() and (tmp_path / "notes").exists() and list((tmp_path / "drafts" / "alone").iterdir()) == []
    assert again.kept() == (FIRST,)


def test_trace_that_is_dropped_is_gone_and_may_be_dropped_again(tmp_path: Path) -> None:
    """Dropping is idempotent and leaves other traces alone."""
    store = store_in(tmp_path)
    kept(store, FIRST, b"first")
    kept(store, SECOND, b"second")
    store.drop(FIRST)
    store.drop(FIRST)
    assert store.kept() == (SECOND,)


def test_trace_store_counts_what_it_holds_before_it_takes_more(tmp_path: Path) -> None:
    """The bound is on all traces together, with their hash trees."""
    store = store_in(tmp_path, max_total_bytes=9 << 20)
    assert store.has_room(6 << 20)
    kept(store, FIRST, bytes(2 << 20))
    assert not store.has_room(6 << 20)
    assert not store_in(tmp_path).has_room(1 << 60)
    store.drop(FIRST)
    assert store.has_room(6 << 20)


def test_trace_store_promises_no_room_twice(tmp_path: Path) -> None:
    """Hundreds of runs begin before the first has written a byte: they would fill the disk, and the database's."""
    store = store_in(tmp_path, max_total_bytes=40 << 20)
    under_way: dict[RequestId, int] = {}
    for number in range(50):
        if store.has_room(10 << 20, under_way=under_way):
            under_way[RequestId(bytes([number]) * 32)] = 10 << 20
    assert len(under_way) == 3
    # What a run has written already is not counted twice.
    first, _, third = under_way
    draft = store.draft(first)
    draft.touch()
    os.truncate(draft, 10 << 20)
    del under_way[third]
    assert store.has_room(10 << 20, under_way=under_way)
    assert not store.has_room(16 << 20, under_way=under_way)


def test_trace_store_leaves_room_for_defences(tmp_path: Path) -> None:
    """Answers may take nine tenths: a second run for a dispute needs room when everything else is full."""
    store = store_in(tmp_path, max_total_bytes=100 << 20)
    draft = store.draft(REQUEST)
    draft.touch()
    os.truncate(draft, 80 << 20)
    store.keep(FIRST, draft)
    assert store.has_room(8 << 20)
    assert not store.has_room(9 << 20)


def test_trace_draft_of_a_second_run_starts_in_an_empty_folder(tmp_path: Path) -> None:
    """A second run of a request finds neither the first one's draft nor what a killed worker had begun."""
    store = store_in(tmp_path)
    draft = store.draft(REQUEST)
    draft.write_bytes(b"half")
    (draft.parent / ".partial-abc").write_bytes(bytes(1000))
    assert list(store.draft(REQUEST).parent.iterdir()) == []
    store.discard(draft)
    store.discard(draft)
    assert list((tmp_path / "drafts" / "alone").iterdir()) == []


def test_trace_store_whose_folder_is_a_file_raises_trace_error(tmp_path: Path) -> None:
    """What the file system says is translated, at the start and later."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(TraceError, match="opened"):
        store_in(tmp_path / "file")
    store = store_in(tmp_path / "traces")
    with pytest.raises(TraceError, match="kept"):
        store.keep(FIRST, store.draft(REQUEST))
    store.discard(store.draft(REQUEST))
    (tmp_path / "traces").rename(tmp_path / "moved")
    with pytest.raises(TraceError, match="read"):
        store.kept()


def test_trace_store_of_one_replica_leaves_the_runs_of_another_alone(tmp_path: Path) -> None:
    """A replica that starts beside another one must not tear its runs' files away; its own dead ones go."""
    one = FileTraceStore(tmp_path, max_total_bytes=ROOM, replica="one")
    other = FileTraceStore(tmp_path, max_total_bytes=ROOM, replica="other")
    drafts = [store.draft(REQUEST) for store in (one, other)]
    for draft in drafts:
        draft.write_bytes(b"half")
    again = FileTraceStore(tmp_path, max_total_bytes=ROOM, replica="one")
    again.sweep_drafts()
    assert [draft.exists() for draft in drafts] == [False, True]
    other.keep(FIRST, drafts[1])
    assert again.kept() == (FIRST,) and again.find(FIRST) == other.find(FIRST)


def test_drafts_that_nobody_writes_to_any_more_are_swept(tmp_path: Path) -> None:
    """What a replica that never comes back has begun would fill the disk; so would drafts of an older version."""
    gone = FileTraceStore(tmp_path, max_total_bytes=ROOM, replica="gone")
    old, slow = gone.draft(REQUEST), gone.draft(RequestId(b"\x09" * 32))
    loose = tmp_path / "drafts" / "of-an-older-version" / "trace"
    loose.parent.mkdir()
    for file in (old, slow, loose):
        file.write_bytes(b"half")
    long_ago = old.stat().st_mtime - 8_000
    for place in (old, old.parent, slow.parent, loose):
        os.utime(place, (long_ago, long_ago))
    FileTraceStore(tmp_path, max_total_bytes=ROOM, replica="one").sweep_drafts()
    assert [file.exists() for file in (old, slow, loose)] == [False, True, False]


def test_trace_s_age_counts_from_the_end_of_its_run(tmp_path: Path) -> None:
    """A trace is left alone while another replica may be about to swear to it, by the clock that stamps the files."""
    store = store_in(tmp_path)
    file = kept(store, FIRST, b"values")
    assert 0 <= store.age_s(FIRST) < 60 and store.age_s(SECOND) == 0
    written = file.stat().st_mtime
    os.utime(file, (written - 1_000, written - 1_000))
    assert 1_000 <= store.age_s(FIRST) < 1_060


def test_trace_folder_is_known_by_one_name_to_all_who_share_it(tmp_path: Path) -> None:
    """Two replicas with folders of their own could not defend each other's results: they must be able to notice."""
    shared = {FileTraceStore(tmp_path / "a", max_total_bytes=ROOM, replica=name).identity() for name in ("x", "y", "x")}
    assert len(shared) == 1
    assert FileTraceStore(tmp_path / "b", max_total_bytes=ROOM).identity() not in shared


def test_trace_without_an_oath_waits_for_replicas_that_are_about_to_swear(tmp_path: Path) -> None:
    """The leader's sweep between another replica's run and its oath would leave a sworn result indefensible."""
    traces = store_in(tmp_path / "traces")
    file = kept(traces, FIRST, b"values")
    with opened("sqlite", tmp_path) as database:

        def sweep(unsworn_s: float) -> None:
            retention = Retention(
                traces=traces,
                store=JobStore(database=database),
                contracts=cast(Contracts, None),
                operator=Address("0x" + "11" * 20),
                keep_s=0,
                confirmations=0,
                log=structlog.get_logger(),
                clock=time.time,
                unsworn_s=unsworn_s,
            )
            retention.sweep(Block(number=1, hash=bytes(32), parent_hash=bytes(32), timestamp=1, base_fee=0))

        sweep(UNSWORN_S)
        assert traces.find(FIRST) == file
        os.utime(file, (0, 0))
        sweep(UNSWORN_S)
        assert traces.find(FIRST) is None
        kept(traces, FIRST, b"values")
        sweep(0.0)
        assert traces.find(FIRST) is None
