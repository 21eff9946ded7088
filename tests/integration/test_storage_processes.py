"""The artifact cache under processes that write, read, pin and evict at once, and are killed."""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sworn.storage.pins import Pins
from sworn.storage.shelf import Shelf

SIZE, COUNT, LIMIT = 50_000, 12, 300_000
PINNED = 3

_WORK = """
import hashlib, random, sys
from pathlib import Path
from sworn.storage import shelf
from sworn.storage.shelf import Shelf
shelf.GRACE_S = 0.01
root, seed, size, count, limit = Path(sys.argv[1]), *map(int, sys.argv[2:])
dice = random.Random(seed)
place = Shelf(root, max_bytes=1 << 20, limit_bytes=limit)
print("ready", flush=True)
while True:
    artifact = dice.randrange(count).to_bytes(4, "big") * (size // 4)
    key = hashlib.sha256(artifact).digest()
    found = place.read(key)
    if found is None:
        place.write((artifact[at : at + 1000] for at in range(0, size, 1000)), key, label="test")
        found = place.read(key)
    if found not in (artifact, None):
        print("torn", flush=True)
        sys.exit(1)
    if dice.random() < 0.1:
        place.pins.add(f"holder-{seed}", [key])
        place.pins.remove(f"holder-{seed}", [key])
"""


def start(root: Path, seed: int) -> subprocess.Popen[str]:
    """One process at work."""
    numbers = map(str, (seed, SIZE, COUNT, LIMIT))
    process = subprocess.Popen(
        [sys.executable, "-c", _WORK, str(root), *numbers], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process


@pytest.mark.slow
def test_cache_shared_by_processes_that_are_killed_stays_whole(tmp_path: Path) -> None:
    """Four processes, one killed every half second: no torn read, no lock left, the limit kept, the pin honoured."""
    pinned = PINNED.to_bytes(4, "big") * (SIZE // 4)
    key = hashlib.sha256(pinned).digest()
    Pins(tmp_path).add("by-hand", [key])
    Shelf(tmp_path, max_bytes=1 << 20).write([pinned], key, label="test")
    dice = random.Random(1)
    processes = [start(tmp_path, seed) for seed in range(4)]
    try:
        for seed in range(4, 24):
            time.sleep(0.5)
            assert all(process.poll() is None for process in processes), [
                p.communicate() for p in processes if p.poll()
            ]
            assert Shelf(tmp_path, max_bytes=1 << 20).read(key) == pinned
            victim = processes.pop(dice.randrange(len(processes)))
            victim.kill()
            victim.communicate()
            processes.append(start(tmp_path, seed))
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    shelf = Shelf(tmp_path, max_bytes=1 << 20, limit_bytes=LIMIT, clock=lambda: time.time() + 100_000)
    shelf.make_room()
    entries = shelf.entries()
    assert sum(entry.size for entry in entries) <= LIMIT and key in {entry.artifact_hash for entry in entries}
    assert all(shelf.read(entry.artifact_hash) is not None for entry in entries)
    assert not list(tmp_path.rglob(".partial-*"))
