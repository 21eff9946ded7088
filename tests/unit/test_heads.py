from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

from websockets.sync.server import ServerConnection, serve

from sworn.chain.heads import POLLING, HeadSubscription, Socket, websocket


class Feed:
    """A node's WebSocket: says what it is told to, and may break off."""

    def __init__(self) -> None:
        self.refuses = False
        self.connections = 0
        self.heads = threading.Semaphore(0)
        self.breaks = threading.Event()

    def __call__(self, connection: ServerConnection) -> None:
        self.connections += 1
        asked = json.loads(connection.recv())
        if self.refuses:
            connection.send(json.dumps({"id": asked["id"], "error": {"code": -32601, "message": "no"}}))
            return
        connection.send(json.dumps({"id": asked["id"], "result": "0x1"}))
        while not self.breaks.is_set():
            if self.heads.acquire(timeout=0.02):
                connection.send(json.dumps({"method": "eth_subscription", "params": {"result": {"number": "0x1"}}}))


@contextmanager
def _node(feed: Feed) -> Iterator[str]:
    with serve(feed, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}/secret-key"
        feed.breaks.set()
        server.shutdown()
        thread.join(5)


class Hasty(Random):
    """Draws the smallest pause there is."""

    def uniform(self, a: float, b: float) -> float:
        return 0.01


def test_wakeup_by_new_head_ends_the_wait_at_once() -> None:
    """A block is acted on when it comes, not at the end of an interval; without one the wait is the whole wait."""
    feed = Feed()
    with _node(feed) as url:
        wakeup = HeadSubscription(websocket(url))
        assert wakeup.wait(10.0), "the subscription itself is a reason to look"
        assert not wakeup.wait(0.05)
        feed.heads.release()
        assert wakeup.wait(10.0)
        assert not wakeup.wait(0.05)
        wakeup.close()


def test_wakeup_that_is_lost_comes_back_and_changes_nothing_meanwhile() -> None:
    """A broken connection is said once, without its URL, and made again; waits end by themselves."""
    feed, heard = Feed(), []
    with _node(feed) as url:
        wakeup = HeadSubscription(websocket(url), on_change=lambda up, why: heard.append((up, why)), random=Hasty())
        assert wakeup.wait(10.0)
        feed.breaks.set()
        assert _until(lambda: (False, "ConnectionClosedOK") in heard)
        feed.breaks.clear()
        assert wakeup.wait(10.0)
        assert feed.connections >= 2
        wakeup.close()
    assert [up for up, _ in heard][:3] == [True, False, True]
    assert "secret" not in str(heard)


def test_wakeup_of_a_node_without_subscriptions_only_waits() -> None:
    """A node that refuses is no reason to stop: polling goes on as if nothing had been configured."""
    feed, heard = Feed(), []
    feed.refuses = True
    with _node(feed) as url:
        wakeup = HeadSubscription(websocket(url), on_change=lambda up, why: heard.append(up), random=Hasty())
        assert not wakeup.wait(0.2)
        assert _until(lambda: feed.connections > 1)
        wakeup.close()
    assert heard == [False]


def test_wakeup_silent_connection_is_made_again() -> None:
    """Subscriptions end without a word: a connection that says nothing for long is not waited on for ever."""

    class Mute:
        opened = 0

        @contextmanager
        def __call__(self) -> Iterator[Socket]:
            Mute.opened += 1
            yield self

        def send(self, message: str) -> None:
            self.answered = False

        def recv(self, timeout: float | None = None) -> str:
            if self.answered:
                raise TimeoutError
            self.answered = True
            return json.dumps({"result": "0x1"})

    wakeup = HeadSubscription(Mute(), silence_s=3.0, random=Hasty())
    assert _until(lambda: Mute.opened > 2)
    wakeup.close()


def test_wakeup_by_a_flood_of_heads_is_held_back() -> None:
    """A node that says "new block" without end would otherwise make us ask all nodes without end."""
    feed = Feed()
    feed.heads = threading.Semaphore(100_000)
    with _node(feed) as url:
        wakeup = HeadSubscription(websocket(url))
        begun, wakes = time.monotonic(), 0
        while time.monotonic() - begun < 0.55:
            wakes += wakeup.wait(1.0)
        wakeup.close()
    assert 1 <= wakes <= 8


def test_polling_waits_and_wakes_nobody() -> None:
    """Without a subscription a wait is a wait."""
    assert not POLLING.wait(0.01)
    POLLING.close()


def _until(holds: Any) -> bool:
    pause = threading.Event()
    for _ in range(500):
        if holds():
            return True
        pause.wait(0.02)
    return False
