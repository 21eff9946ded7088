"""The folder in which an operator keeps what it defends its results with."""

from __future__ import annotations

from pathlib import Path

import pytest

from sworn.errors import TraceError
from sworn.types import RequestId
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
    assert file.exists() and (tmp_path / "notes").exists() and list((tmp_path / "drafts").iterdir()) == []
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
    store = store_in(tmp_path, max_total_bytes=8 << 20)
    assert store.has_room(6 << 20)
    kept(store, FIRST, bytes(2 << 20))
    assert not store.has_room(6 << 20)
    assert not store_in(tmp_path).has_room(1 << 60)
    store.drop(FIRST)
    assert store.has_room(6 << 20)


def test_trace_draft_of_a_second_run_starts_in_an_empty_folder(tmp_path: Path) -> None:
    """A second run of a request finds neither the first one's draft nor what a killed worker had begun."""
    store = store_in(tmp_path)
    draft = store.draft(REQUEST)
    draft.write_bytes(b"half")
    (draft.parent / ".partial-abc").write_bytes(bytes(1000))
    assert list(store.draft(REQUEST).parent.iterdir()) == []
    store.discard(draft)
    store.discard(draft)
    assert list((tmp_path / "drafts").iterdir()) == []


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
