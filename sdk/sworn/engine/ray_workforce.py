"""Workers on a Ray cluster: actors, each of which keeps a worker process that can be killed.

An actor enforces the limits on its own machine, as a pool does here; Ray only carries orders, answers and traces.
"""

from __future__ import annotations

import importlib
import logging
import math
import os
import signal
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from sworn.engine.outpost import PLACES, Order, Outpost, Reply, code_digest
from sworn.engine.retrieval import Retrieval
from sworn.engine.worker import Message
from sworn.engine.workers import Post, WorkerDied, WorkerLost
from sworn.errors import ConfigurationError, EngineError, RunOutOfMemory, RunTimedOut

#: A cluster that has no room for an actor within this time has none.
_PLACEMENT_TIMEOUT_S: Final = 60.0
_REACH_TIMEOUT_S: Final = 10.0
#: What Ray may take to carry an order and its answer; the limits of a run are enforced at the other end.
_CARRIAGE_TIMEOUT_S: Final = 30.0
#: Seconds per byte at 10 MB/s, the slowest network on which a model is still carried in time.
_CARRIAGE_S_PER_BYTE: Final = 1e-7
#: Each pool of an engine, that of programs and that of onnxruntime, may have all its workers at once.
_POOLS: Final = 2
#: Ray reads these once, when it is first used. Who has set one of them means it.
_ENVIRONMENT: Final = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Tensors up to here travel within the order. By the object store they cost twice the processor time, and the
    # time in which four processes wake each other.
    "RAY_max_direct_call_object_size": str(8 << 20),
    # Processes in advance are for tasks that come and go; ours are actors that stay.
    "RAY_prestart_worker_first_driver": "false",
    "RAY_enable_worker_prestart": "false",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RayPlacement:
    """Which cluster, and what each worker asks of it."""

    #: "host:port" or "auto" for a cluster that runs, "ray://host:port" for Ray's client; None = one of its own, here.
    address: str | None = None
    cpus_per_worker: float = 1.0
    #: Other resources that a node must have, by Ray's names.
    resources: Mapping[str, float] = field(default_factory=dict)


class RayWorkforce:
    """A `Workforce` on a Ray cluster; it connects when the first worker starts.

    A cluster of its own has room for both pools of an engine with so many ``workers``. Raises `ConfigurationError`
    where Ray is missing.
    """

    def __init__(self, placement: RayPlacement, *, workers: int) -> None:
        self._ray = _installed()
        self._placement = placement
        self._workers = workers
        self._lock = threading.Lock()
        self._is_own = False
        self._is_closed = False

    def hire(self, post: Post) -> RayWorker:
        """An actor that is made when it is told to start."""
        return RayWorker(self, post=post)

    def close(self) -> None:
        """Leaves the cluster, and ends it if it was made here; idempotent."""
        with self._lock:
            self._is_closed = True
            if self._is_own:
                self._is_own = False
                self._ray.shutdown()

    def actor(self, post: Post) -> Any:
        """A new actor for a post. Raises `EngineError`."""
        self._connect()
        actor_class = self._ray.remote(Outpost).options(
            num_cpus=self._placement.cpus_per_worker,
            resources=dict(self._placement.resources) or None,
            max_restarts=0,
            max_task_retries=0,
        )
        return actor_class.remote(post.program.name, post.capacity, post.start_timeout_s)

    def ask(self, call: Any, *, timeout_s: float) -> Any:
        """What a remote call gives. Raises `WorkerLost`."""
        exceptions = self._ray.exceptions
        try:
            return self._ray.get(call, timeout=timeout_s)
        except exceptions.GetTimeoutError as error:
            raise WorkerLost(f"no answer from the Ray cluster after {timeout_s:g} s") from error
        except exceptions.RayError as error:
            raise WorkerLost(f"{type(error).__name__} from the Ray cluster") from error

    def dismiss(self, actor: Any) -> None:
        """Kills an actor; its process sees that and ends."""
        with self._lock:
            # A cluster that is gone has no actors either, and Ray would make a new one to ask.
            if self._is_closed and not self._ray.is_initialized():
                return
            with suppress(self._ray.exceptions.RayError, ValueError):
                self._ray.kill(actor, no_restart=True)

    def _connect(self) -> None:
        with self._lock:
            if self._is_closed:
                raise EngineError("the engine is closed")
            if self._ray.is_initialized():
                return
            _check_reachable(self._placement.address)
            for is_last in (False, True):
                try:
                    with _undisturbed():
                        self._init()
                    break
                except Exception as error:
                    # Ray says by a bare Exception that a node is too slow to start; a second one finds files in memory.
                    self._ray.shutdown()
                    if is_last or self._placement.address is not None:
                        where = (
                            "the Ray cluster of engine.ray.address" if self._placement.address else "a local cluster"
                        )
                        raise EngineError(f"{where} cannot be reached: {type(error).__name__}") from error
            self._is_own = True

    def _init(self) -> None:
        address = self._placement.address
        places = self._workers * _POOLS
        own = {
            "address": "local",
            "num_cpus": max(1, math.ceil(places * self._placement.cpus_per_worker)),
            "resources": {name: share * places for name, share in self._placement.resources.items()} or None,
            "include_dashboard": False,
        }
        place = own if address is None else {"address": address}
        self._ray.init(**place, namespace="sworn", log_to_driver=False, configure_logging=False)


class RayWorker:
    """A `Worker` that is an actor."""

    def __init__(self, workforce: RayWorkforce, *, post: Post) -> None:
        self._workforce = workforce
        self._post = post
        self._lock = threading.Lock()
        self._actor: Any = None
        self._is_closed = False
        self._pid: int | None = None
        self._used_bytes = 0
        #: Keys of the models that it has prepared, whether or not they are still cached.
        self.keys: set[str] = set()

    @property
    def pid(self) -> int | None:
        """Process id on its own machine, or None before `start`."""
        return self._pid

    @property
    def is_usable(self) -> bool:
        """Whether it may serve another exchange."""
        return not self._is_closed

    def start(self) -> None:
        """Places the actor and starts its process unless it runs. Raises `EngineError`, or what its welcome raises."""
        if self._actor is not None:
            return
        with self._sound():
            actor = self._placed()
            try:
                code = self._workforce.ask(actor.code.remote(), timeout_s=_PLACEMENT_TIMEOUT_S)
            except WorkerLost as error:
                raise EngineError(f"the Ray cluster has no room for another worker, or no sworn ({error})") from error
            if code != (own := code_digest()):
                raise ConfigurationError(
                    f"the Ray cluster has the code {code}, this is {own}: install the same sworn on every node"
                )
            wait_s = self._post.start_timeout_s + _CARRIAGE_TIMEOUT_S
            self._heard(self._workforce.ask(actor.start.remote(), timeout_s=wait_s))

    def exchange(
        self,
        header: dict[str, Any],
        blobs: Sequence[bytes | memoryview] = (),
        *,
        timeout_s: float,
        memory_bytes: int,
    ) -> Message:
        """Sends a message and gives the answer; files that it writes are brought to where the header names them.

        Raises `RunTimedOut`, `RunOutOfMemory`, `WorkerDied`, `WorkerLost`, `TraceError`, `EngineError`.
        """
        actor = self._actor
        if actor is None:
            raise WorkerDied("not started")
        carried = tuple(np.frombuffer(blob, dtype=np.uint8) for blob in blobs)
        order = Order(header=header, blobs=carried, timeout_s=timeout_s, memory_bytes=memory_bytes)
        patience_s = timeout_s + _CARRIAGE_TIMEOUT_S + sum(each.nbytes for each in carried) * _CARRIAGE_S_PER_BYTE
        with self._sound():
            reply: Reply = self._workforce.ask(actor.exchange.remote(order), timeout_s=patience_s)
        self._heard(reply)
        place = next((header[name] for name in PLACES if header.get(name) is not None), None)
        if place is not None and reply.files:
            with self._sound():
                Retrieval(lambda *part: self._workforce.ask(actor.read.remote(*part), timeout_s=patience_s)).bring(
                    reply.files, place
                )
        return Message(header=reply.header, blobs=[bytearray(blob) for blob in reply.blobs])

    def used_bytes(self) -> int:
        """Resident memory of the process after its last exchange."""
        return 0 if self._is_closed else self._used_bytes

    def close(self) -> None:
        """Kills the actor; idempotent."""
        with self._lock:
            self._is_closed = True
            actor, self._actor = self._actor, None
        if actor is not None:
            self._workforce.dismiss(actor)

    def release(self) -> None:
        """As `close`."""
        self.close()

    def _placed(self) -> Any:
        with self._lock:
            if self._is_closed:
                raise EngineError("the engine is closed")
            self._actor = self._workforce.actor(self._post)
            return self._actor

    def _heard(self, reply: Reply) -> None:
        """Takes notice of a reply. Raises what it tells of."""
        self._pid, self._used_bytes = reply.pid, reply.used_bytes
        if reply.greeting is not None:
            # A process that has just been started has no models.
            self.keys.clear()
            if reply.greeting.get("status") == "unavailable":
                raise EngineError(f"a worker process could not be started: {reply.greeting.get('detail')}")
            self._post.welcome(reply.greeting)
        if reply.outcome == "timeout":
            raise RunTimedOut(reply.detail)
        if reply.outcome == "memory":
            raise RunOutOfMemory(reply.detail)
        if reply.outcome == "died":
            raise WorkerDied(reply.detail)
        if reply.outcome != "answered":
            raise EngineError(f"a worker on the Ray cluster failed: {reply.detail}")

    @contextmanager
    def _sound(self) -> Iterator[None]:
        # INVARIANT: an actor whose call was not answered may still be at work; the next one would wait for it.
        is_sound = False
        try:
            yield
            is_sound = True
        finally:
            if not is_sound:
                self.close()


def _installed() -> Any:
    try:
        ray = importlib.import_module("ray")
    except ImportError as error:
        raise ConfigurationError(
            "engine.kind = \"ray\" needs the ray extra: pip install 'sworn-oracle[ray]'"
        ) from error
    return ray


def _check_reachable(address: str | None) -> None:
    """Raises `EngineError` where nobody listens at an address, for which Ray itself would try for minutes."""
    place = (address or "").removeprefix("ray://")
    host, colon, port = place.rpartition(":")
    if not colon or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_REACH_TIMEOUT_S).close()
    except (OSError, OverflowError) as error:
        raise EngineError("nobody answers at the Ray cluster of engine.ray.address") from error


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Keeps Ray from reporting usage, talking on standard error, and taking over the signals of this process.

    And from what costs a run of ours time.
    """
    logging.getLogger("ray").setLevel(logging.ERROR)
    added = {name: value for name, value in _ENVIRONMENT.items() if name not in os.environ}
    os.environ.update(added)
    handlers: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            if handler is not None:
                signal.signal(number, handler)
        for name in added:
            os.environ.pop(name, None)
