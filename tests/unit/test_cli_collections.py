from __future__ import annotations

import gc
from contextlib import suppress

from sworn.cli.watching import rare_collections


def test_daemon_collects_cycles_rarely_and_leaves_the_process_as_it_was() -> None:
    """Whoever calls the command line from Python keeps the collector that he had, even when it fails."""
    before, frozen = gc.get_threshold(), gc.get_freeze_count()
    with suppress(RuntimeError), rare_collections():
        inside, resting = gc.get_threshold(), gc.get_freeze_count()
        raise RuntimeError
    assert inside[0] > before[0] and inside[1:] == before[1:] and resting > frozen + 10_000
    assert (gc.get_threshold(), gc.get_freeze_count()) == (before, 0)
