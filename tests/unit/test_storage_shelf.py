from __future__ import annotations

import errno
import hashlib
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sworn.errors import ArtifactCorrupt, ArtifactError, ConfigurationError
from sworn.storage.pins import Pins
from sworn.storage.shelf import GRACE_S, Shelf

SIZE = 1000


def content(index: int, size: int = SIZE) -> tuple[bytes, bytes]:
    """An artifact and its hash."""
    artifact = index.to_bytes(4, "big") * (size // 4)
    return artifact, hashlib.sha256(artifact).digest()


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock of the test's own."""
    return Clock()


def shelf_of(root: Path, clock: Clock, *, limit: int | None = 3 * SIZE, max_bytes: int = 1 << 20) -> Shelf:
    """A shelf for three artifacts."""
    return Shelf(root, max_bytes=max_bytes, limit_bytes=limit, clock=clock)


def store(shelf: Shelf, clock: Clock, *indices: int) -> None:
    """Writes artifacts, an hour apart."""
    for index in indices:
        artifact, key = content(index)
        shelf.write([artifact], key, label="test")
        clock.now += 3600


def kept(shelf: Shelf, *indices: int) -> list[int]:
    """Which of some artifacts are there."""
    return [index for index in indices if shelf.path(content(index)[1]).exists()]


def test_shelf_over_its_limit_drops_what_was_not_used_for_longest(tmp_path: Path, clock: Clock) -> None:
    """Reading counts as use, whatever the file system notes; the one that just came stays."""
    shelf = shelf_of(tmp_path, clock)
    store(shelf, clock, 1, 2, 3)
    shelf.read(content(1)[1])
    clock.now += 3600
    store(shelf, clock, 4, 5)
    assert kept(shelf, 1, 2, 3, 4, 5) == [1, 4, 5]
    assert sum(entry.size for entry in shelf.entries()) == 3 * SIZE
    assert [entry.artifact_hash for entry in shelf.entries()] == [content(index)[1] for index in (5, 4, 1)]


def test_pinned_artifacts_stay_when_room_is_made(tmp_path: Path, clock: Clock) -> None:
    """A pin outlasts any number of newcomers, also over the limit, until its last holder takes it off."""
    shelf = shelf_of(tmp_path, clock)
    store(shelf, clock, 1)
    shelf.pins.add("by-hand", [content(1)[1]])
    shelf.pins.add("watcher-1", [content(1)[1], content(2)[1]])
    store(shelf, clock, *range(2, 9))
    assert kept(shelf, *range(1, 9)) == [1, 2, 8]
    assert shelf.entries()[-1].holders == ("by-hand", "watcher-1")
    shelf.pins.remove("by-hand", [content(1)[1]])
    store(shelf, clock, 9)
    assert 1 in kept(shelf, 1)
    shelf.pins.replace("watcher-1", [])
    store(shelf, clock, 10, 11)
    assert kept(shelf, *range(1, 12)) == [9, 10, 11]


def test_artifact_in_use_by_another_process_stays_for_a_minute(tmp_path: Path, clock: Clock) -> None:
    """Between fetching and reading, nobody else's newcomer takes an artifact away."""
    shelf = shelf_of(tmp_path, clock, limit=SIZE)
    for index in (1, 2):
        shelf.write([content(index)[0]], content(index)[1], label="test")
    assert kept(shelf, 1, 2) == [1, 2]
    clock.now += GRACE_S + 1
    store(shelf, clock, 3)
    assert kept(shelf, 1, 2, 3) == [3]


def test_pins_that_cannot_be_read_stop_eviction(tmp_path: Path, clock: Clock) -> None:
    """A damaged list of pins is not an empty one: what it named must not be lost."""
    shelf = shelf_of(tmp_path, clock)
    store(shelf, clock, 1, 2, 3)
    shelf.pins.add("by-hand", [content(1)[1]])
    for damage in ("[", '{"a": 1}', '["../../etc/passwd"]', ""):
        (tmp_path / "pins" / "by-hand.json").write_text(damage)
        with pytest.raises(ArtifactError, match=r"repair or remove"):
            store(shelf, clock, 4)
        assert kept(shelf, 1, 2, 3) == [1, 2, 3]


@pytest.mark.parametrize("holder", ["", "../evil", "a/b", "A", "a" * 101, ".lock"])
def test_holder_that_is_no_plain_name_is_refused(tmp_path: Path, holder: str) -> None:
    """A holder's name becomes a file's name, and leads nowhere else."""
    with pytest.raises(ConfigurationError):
        Pins(tmp_path).add(holder, [bytes(32)])


def test_watchers_side_by_side_keep_what_each_of_them_serves(tmp_path: Path) -> None:
    """The second adds; only one that starts alone forgets what is no longer served; the end takes nothing off."""
    first, second, third = bytes([1]) * 32, bytes([2]) * 32, bytes([3]) * 32
    with Pins(tmp_path).held("watcher", [first]):
        with Pins(tmp_path).held("watcher", [second]):
            assert Pins(tmp_path).holders() == {"watcher": {first, second}}
        with Pins(tmp_path).held("watcher", [first]):
            assert Pins(tmp_path).holders() == {"watcher": {first, second}}
    assert Pins(tmp_path).holders() == {"watcher": {first, second}}
    with Pins(tmp_path).held("watcher", [third]):
        assert Pins(tmp_path).holders() == {"watcher": {third}}


def test_disk_that_is_full_in_mid_write_leaves_the_cache_as_it_was(tmp_path: Path, clock: Clock) -> None:
    """The error is typed, no partial file stays, and what was there can still be read."""
    shelf = shelf_of(tmp_path, clock, limit=None)
    store(shelf, clock, 1)
    artifact, key = content(2, size=400_000)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(ArtifactError, match="cannot be used"):
            shelf.write([artifact[:200_000], artifact[200_000:]], key, label="test")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [shelf.path(content(1)[1])]
    assert shelf.read(content(1)[1]) == content(1)[0]


def test_pins_on_a_full_disk_stay_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of pins is replaced whole or not at all."""
    pins = Pins(tmp_path)
    pins.add("by-hand", [bytes(32)])

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ArtifactError):
        pins.add("by-hand", [bytes([1]) * 32])
    assert pins.holders() == {"by-hand": {bytes(32)}}
    assert sorted(path.name for path in (tmp_path / "pins").iterdir()) == ["by-hand.json"]


def test_files_of_writers_that_were_killed_are_swept_up(tmp_path: Path, clock: Clock) -> None:
    """A partial file that nobody writes for a day goes; a fresh one may have a writer."""
    shelf = shelf_of(tmp_path, clock)
    store(shelf, clock, 1)
    folder = shelf.path(content(1)[1]).parent
    for name, age in ((".partial-old", 100_000), (".partial-new", 100)):
        (folder / name).write_bytes(b"half")
        os.utime(folder / name, (clock.now - age, clock.now - age))
    store(shelf, clock, 2)
    assert sorted(path.name for path in folder.iterdir() if path.name.startswith(".")) == [".partial-new"]


@pytest.mark.parametrize("kind", ["fifo", "device", "directory", "poison"])
def test_entry_that_another_process_has_planted_is_not_used(tmp_path: Path, clock: Clock, kind: str) -> None:
    """Whoever can write to the folder can make a read fail, not make it wait, and not make it return other bytes."""
    shelf = shelf_of(tmp_path, clock)
    path = shelf.path(content(1)[1])
    path.parent.mkdir()
    plant: dict[str, Callable[[], object]] = {
        "fifo": lambda: os.mkfifo(path),
        "device": lambda: path.symlink_to("/dev/zero"),
        "directory": path.mkdir,
        "poison": lambda: path.write_bytes(content(2)[0]),
    }
    plant[kind]()
    with pytest.raises(ArtifactError) as caught:
        shelf.read(content(1)[1])
    assert isinstance(caught.value, ArtifactCorrupt) is (kind == "poison")


def test_readers_and_writers_at_once_see_whole_artifacts_only(tmp_path: Path) -> None:
    """Eight threads that write, read and evict the same few artifacts never see half of one, and keep to the limit."""
    clock = Clock()
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        shelf = shelf_of(tmp_path, clock)
        try:
            for step in range(40):
                artifact, key = content((seed * 7 + step) % 6)
                clock.now += GRACE_S
                shelf.write(_pieces(artifact), key, label="test")
                assert shelf.read(key) in (artifact, None)
        except (ArtifactError, AssertionError) as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    clock.now += 2 * GRACE_S
    shelf = shelf_of(tmp_path, clock)
    shelf.make_room()
    assert sum(entry.size for entry in shelf.entries()) <= 3 * SIZE
    assert not list(tmp_path.rglob(".partial-*"))


def _pieces(artifact: bytes) -> Iterator[bytes]:
    for at in range(0, len(artifact), 100):
        yield artifact[at : at + 100]


_HOLD = """
import sys
from pathlib import Path
from sworn.storage.pins import Pins
with Pins(Path(sys.argv[1])).held("watcher", [bytes([7]) * 32]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_pins_of_a_killed_watcher_last_until_it_starts_again(tmp_path: Path) -> None:
    """Kill -9 neither takes pins off nor leaves a lock behind that keeps the next start from renewing them."""
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdin is not None
    assert process.stdout.readline() == "held\n"
    with Pins(tmp_path).held("watcher", [bytes(32)]):
        assert Pins(tmp_path).holders() == {"watcher": {bytes(32), bytes([7]) * 32}}
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()
    assert Pins(tmp_path).holders() == {"watcher": {bytes(32), bytes([7]) * 32}}
    with Pins(tmp_path).held("watcher", [bytes(32)]):
        assert Pins(tmp_path).holders() == {"watcher": {bytes(32)}}
