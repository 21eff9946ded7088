"""Mirrors that strangers have published to keep whoever asks them busy."""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from sworn.errors import ArtifactUnavailable
from sworn.storage import CachedArtifactStore, HttpFetcher
from sworn.storage.mirrors import Outlay, Place, Tardiness
from sworn.storage.web import Pace

ARTIFACT = b"model" * 1000
HASH = hashlib.sha256(ARTIFACT).digest()
HEADERS = b"HTTP/1.1 200 OK\r\nX-A: "
#: A body in chunks, whose first chunk's length never ends.
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;"
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(ARTIFACT), ARTIFACT)


@contextmanager
def answering(start: bytes) -> Iterator[str]:
    """A server that says the same to everybody, and then one byte now and then."""
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip(connection: socket.socket) -> None:
            with connection, suppress(OSError):
                connection.recv(4096)
                connection.sendall(start)
                while start is not WHOLE and not stop.wait(0.02):
                    connection.sendall(b"a")

        def listen() -> None:
            with suppress(OSError):
                while not stop.is_set():
                    threading.Thread(target=drip, args=(listener.accept()[0],), daemon=True).start()

        threading.Thread(target=listen, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        stop.set()
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("start", [HEADERS, CHUNKED], ids=["headers", "chunk length"])
def test_mirror_that_drips_before_its_first_byte_costs_its_patience(
    start: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a byte of the body there is nothing to look at: the clock alone ends it, long before the time limit."""
    monkeypatch.setattr("sworn.storage.mirrors._PATIENCE_S", 0.2)
    with answering(start) as slow, answering(WHOLE) as good:
        store = CachedArtifactStore(tmp_path, allow_private_hosts=True, timeout_s=60.0)
        began = time.monotonic()
        assert store.get(HASH, uris=(f"{slow}/1", f"{slow}/2", good)) == ARTIFACT
        assert time.monotonic() - began < 5.0


def test_mirror_of_ones_own_may_take_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the operator has named is given the whole time limit, however slow it is to begin."""
    monkeypatch.setattr("sworn.storage.mirrors._PATIENCE_S", 0.05)
    with answering(HEADERS) as slow:
        store = CachedArtifactStore(tmp_path, mirrors=[f"{slow}/{{sha256}}"], timeout_s=0.4)
        with pytest.raises(ArtifactUnavailable, match=r"not complete after 0\.4 s"):
            store.get(HASH)


def test_fetch_that_keeps_its_pace_outlasts_its_patience() -> None:
    """Patience is for those who send nothing: whoever sends enough may go on."""
    with answering(WHOLE) as good:
        pace = Pace(total_s=10.0, patience_s=0.05, min_bytes_per_s=1000.0)
        chunks = HttpFetcher(allow_private_hosts=True).open_at(good, pace)
        first = next(chunks)
        time.sleep(0.3)
        assert first + b"".join(chunks) == ARTIFACT


class Slow:
    """Takes as long as it is told to, and has nothing, but for one address."""

    schemes = frozenset({"mem"})

    def __init__(self, now: list[float], cost_s: float) -> None:
        self.now, self.cost_s, self.good = now, cost_s, ""
        self.asked: list[str] = []

    def open(self, uri: str) -> Generator[bytes, None, None]:
        self.asked.append(uri)
        if uri != self.good:
            self.now[0] += self.cost_s
            raise ArtifactUnavailable(f"{uri}: too slow")
        yield ARTIFACT


def test_crowd_of_slow_mirrors_costs_one_fetch_a_few_minutes_and_hides_nobody_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sixty-four of them cost hours together; the next fetch begins with those that nobody has waited for yet."""
    now = [0.0]
    monkeypatch.setattr("sworn.storage.cache.Tardiness", lambda: Tardiness(clock=lambda: now[0]))
    slow = Slow(now, 30.0)
    store = CachedArtifactStore(tmp_path, fetchers=[slow], own_fetchers=[slow], mirrors=["mem://own/{sha256}"])
    uris = tuple(f"mem://{number}" for number in range(40))
    slow.good = uris[25]
    with pytest.raises(ArtifactUnavailable, match="not asked"):
        store.get(HASH, uris=uris)
    # One's own is asked first and is not charged; then ten, of thirty seconds each.
    assert slow.asked[0].startswith("mem://own/") and slow.asked[1:] == list(uris[:10])
    assert now[0] == 330.0
    with pytest.raises(ArtifactUnavailable):
        store.get(HASH, uris=uris)
    assert slow.asked[12:] == list(uris[10:20])
    assert store.get(HASH, uris=uris) == ARTIFACT


def test_mirror_that_was_slow_is_forgiven_and_quick_refusals_are_no_fault() -> None:
    """It comes last for an hour, no longer; who says at once that it has nothing keeps its place."""
    now = [0.0]
    tardiness = Tardiness(clock=lambda: now[0])
    places = [Place(uri=f"mem://{number}", own=False) for number in range(3)]
    for place, cost_s in ((places[0], 30.0), (places[1], 1.0)):
        with suppress(ArtifactUnavailable), Outlay(tardiness).charged(place):
            now[0] += cost_s
            raise ArtifactUnavailable("nothing")
    assert tardiness.sorted(places) == [places[1], places[2], places[0]]
    now[0] += 3_600.0
    assert tardiness.sorted(places) == places
