"""A watcher's traces as the trace server takes them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final

from sworn.model.trace_file import TraceFile
from sworn.types import ZERO_HASH, Address, ResultId
from sworn.watcher.defence.store import DefenceStore
from sworn.watcher.store.database import Database
from sworn.watcher.store.jobs import JobStore
from sworn.watcher.traces import TraceStore

#: Traces that stay open between requests.
_OPEN_TRACES: Final = 8


class WatcherLibrary:
    """A `TraceLibrary` of what one watcher keeps for its operator."""

    def __init__(self, *, traces: TraceStore, database: Database, operator: Address) -> None:
        self._traces = traces
        self._jobs, self._defences = JobStore(database=database), DefenceStore(database=database)
        self._operator = operator
        self._lock = threading.Lock()
        #: By root and file: one that was damaged and made again is another file.
        self._open: OrderedDict[tuple[bytes, int], TraceFile] = OrderedDict()

    def find(self, trace_root: bytes) -> TraceFile | None:
        """The trace with a root, by whatever request it was made for."""
        path = next((self._traces.find(each) for each in self._traces.kept() if each.trace_root == trace_root), None)
        if path is None:
            return None
        try:
            key = (trace_root, path.stat().st_ino)
        except OSError:
            # Dropped between the two looks.
            return None
        with self._lock:
            trace = self._open.pop(key, None) or TraceFile.load(path)
            self._open[key] = trace
            while len(self._open) > _OPEN_TRACES:
                self._open.popitem(last=False)
            return trace

    def trace_root_of(self, result_id: ResultId) -> bytes | None:
        """What was sworn with the result, or on top of it when it was challenged."""
        oath = self._jobs.sworn(result_id, self._operator)
        root = None if oath is None or oath.trace_root == ZERO_HASH else oath.trace_root
        if root is None:
            defence = self._defences.defence(result_id)
            root = None if defence is None else defence.trace_root
        return root if root is not None and self.find(root) is not None else None
