from __future__ import annotations

import io
import json

from sworn.watcher.logs import make_logger


class FullDisk(io.StringIO):
    """Takes nothing as long as it is full."""

    full = False

    def write(self, text: str) -> int:
        if self.full:
            raise OSError(28, "No space left on device")
        return super().write(text)


def test_log_that_cannot_be_written_stops_nobody_and_is_counted() -> None:
    """A full disk takes lines away, never the loop that writes them; afterwards the log says how many are missing."""
    disk = FullDisk()
    log = make_logger(disk)
    log.info("before")
    disk.full = True
    log.info("lost")
    log.error("lost_too")
    disk.full = False
    log.info("after")
    lines = [json.loads(line) for line in disk.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["before", "log_lines_lost", "after"]
    assert lines[1]["lines"] == 2
