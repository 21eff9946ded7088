"""The program inside a worker process of onnxruntime: loads ONNX models and runs them for the process that started it.

It is started by its path and imports neither `sworn` nor anything that handles keys: a worker starts quickly, and a
hostile model that broke out of onnxruntime would find nothing in its memory or environment. `program_worker` is the
other program that speaks these messages.

A message is a 4-byte length, a JSON header of that length, and the blobs whose sizes the header lists in ``blobs``.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import queue
import signal
import struct
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

_LENGTH = struct.Struct("<I")
#: Room for the names and shapes of thousands of tensors.
MAX_HEADER_BYTES = 1 << 20
#: What the process that started this one gives itself beyond a limit to enforce it, before the kernel does it here.
_GRACE_S = 5.0
#: Thread stacks and allocator bookkeeping, which are not the model's.
_SLACK_BYTES = 64 << 20
_MAX_DETAIL_CHARACTERS = 400
_PROCESSOR = "CPUExecutionProvider"
#: onnxruntime reports a failed allocation by nothing but the text of a general error.
_OUT_OF_MEMORY_TEXTS = ("bad_alloc", "failed to allocate memory", "bad allocation", "out of memory")


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of either direction."""

    header: dict[str, Any]
    blobs: list[bytearray]


#: What a worker does with a message: the header and the blobs of its answer.
Operation = Callable[[Message], tuple[dict[str, Any], Sequence[bytes | memoryview]]]


class MessageTooLarge(Exception):
    """A header or the sum of the blobs is over its limit."""


def write_message(stream: IO[bytes], header: dict[str, Any], blobs: Sequence[bytes | memoryview] = ()) -> None:
    """Writes and flushes one message; raises `OSError` or `ValueError` when the other side is gone."""
    encoded = json.dumps({**header, "blobs": [len(blob) for blob in blobs]}).encode()
    if len(encoded) > MAX_HEADER_BYTES:
        raise MessageTooLarge(f"a header of {len(encoded)} bytes")
    stream.write(_LENGTH.pack(len(encoded)) + encoded)
    for blob in blobs:
        stream.write(blob)
    stream.flush()


def read_message(stream: IO[bytes], *, max_bytes: int | None = None) -> Message:
    """Reads one message of at most ``max_bytes`` of blobs; raises `EOFError`, `MessageTooLarge` or `ValueError`."""
    (length,) = _LENGTH.unpack(_read(stream, _LENGTH.size))
    if length > MAX_HEADER_BYTES:
        raise MessageTooLarge(f"a header of {length} bytes")
    header = json.loads(_read(stream, length))
    if not isinstance(header, dict):
        raise ValueError("a header is not an object")
    sizes = header.pop("blobs", [])
    if not isinstance(sizes, list) or not all(isinstance(size, int) and size >= 0 for size in sizes):
        raise ValueError("blob sizes are not natural numbers")
    if max_bytes is not None and sum(sizes) > max_bytes:
        raise MessageTooLarge(f"{sum(sizes)} bytes of tensors")
    return Message(header=header, blobs=[_read(stream, size) for size in sizes])


def _read(stream: IO[bytes], size: int) -> bytearray:
    data = bytearray(size)
    filled = 0
    while filled < size:
        count = stream.readinto(memoryview(data)[filled:])  # type: ignore[attr-defined]
        if not count:
            raise EOFError
        filled += count
    return data


def pack_tensor(name: str, array: NDArray[Any]) -> tuple[dict[str, Any], memoryview]:
    """A tensor's entry in a header, and its elements as bytes."""
    entry = {"name": name, "dtype": array.dtype.name, "shape": list(array.shape)}
    return entry, np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def unpack_tensor(entry: dict[str, Any], blob: bytearray) -> tuple[str, NDArray[Any]]:
    """The inverse of `pack_tensor`; raises `ValueError`, `KeyError` or `TypeError` for an entry that does not fit."""
    return entry["name"], np.frombuffer(blob, dtype=np.dtype(entry["dtype"])).reshape(entry["shape"])


class _Sessions:
    """The most recently used sessions of onnxruntime, which is imported here and nowhere else."""

    def __init__(self, *, capacity: int) -> None:
        import onnxruntime
        from onnxruntime.capi import onnxruntime_pybind11_state as state

        onnxruntime.disable_telemetry_events()
        self._runtime = onnxruntime
        self._capacity = capacity
        self.kept: OrderedDict[str, Any] = OrderedDict()
        self.malformed: tuple[type[Exception], ...] = (state.InvalidProtobuf, state.InvalidGraph, state.NoModel)
        self.unsupported: tuple[type[Exception], ...] = (
            state.NotImplemented,
            state.InvalidArgument,
            state.Fail,
            state.RuntimeException,
            state.EPFail,
            state.NoSuchFile,
            state.NotFound,
            state.EngineError,
            state.ModelRequiresCompilation,
            RuntimeError,
        )
        self.failed = (*self.malformed, *self.unsupported, ValueError, TypeError, MemoryError)

    @property
    def providers(self) -> list[str]:
        return list(self._runtime.get_available_providers())

    def get(self, key: str) -> Any | None:
        if key in self.kept:
            self.kept.move_to_end(key)
        return self.kept.get(key)

    def build(self, key: str, artifact: bytes, settings: dict[str, Any]) -> str | None:
        """Makes a session; returns the provider that onnxruntime fell back to, where it did."""
        while len(self.kept) >= self._capacity:
            self.kept.popitem(last=False)
        provider = settings["provider"]
        session = self._runtime.InferenceSession(artifact, sess_options=self._options(settings), providers=[provider])
        session.disable_fallback()
        used = str(session.get_providers()[0])
        if used != provider:
            return used
        self.kept[key] = session
        return None

    def _options(self, settings: dict[str, Any]) -> Any:
        options = self._runtime.SessionOptions()
        options.intra_op_num_threads = settings["intra_threads"]
        options.inter_op_num_threads = settings["inter_threads"]
        options.execution_mode = self._runtime.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = self._runtime.GraphOptimizationLevel(settings["optimisation"])
        options.use_deterministic_compute = True
        # The arena keeps a run's memory for the next one: limits per run could not be measured.
        options.enable_cpu_mem_arena = False
        options.log_severity_level = 4
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")
        return options


class Limits:
    """Kernel limits behind those that the starting process enforces; they hold even when that process is gone."""

    def __init__(self, header: dict[str, Any]) -> None:
        self._timeout_s = float(header["timeout_s"])
        self._memory_bytes = int(header["memory_bytes"])
        # Accelerators reserve address space far beyond what they use.
        self._is_memory_limited = header.get("provider", _PROCESSOR) == _PROCESSOR

    def __enter__(self) -> None:
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, self._timeout_s + _GRACE_S)
        if sys.platform == "linux" and self._is_memory_limited:
            import resource

            pages = int(_statm().split()[5])
            ceiling = pages * resource.getpagesize() + self._memory_bytes + _SLACK_BYTES
            hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
            soft = ceiling if hard == resource.RLIM_INFINITY else min(ceiling, hard)
            resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))

    def __exit__(self, *_: object) -> None:
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0)
        if sys.platform == "linux" and self._is_memory_limited:
            import resource

            hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
            resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))


def forget(models: OrderedDict[str, Any], message: Message) -> tuple[dict[str, Any], list[memoryview]]:
    """Drops the model ``key``, and gives what it held back to the system as far as the allocator can."""
    models.pop(message.header["key"], None)
    gc.collect()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
    return {"status": "forgotten"}, []


def _statm() -> bytes:
    # Half the time of a text file, and every run pays it.
    file = os.open("/proc/self/statm", os.O_RDONLY)
    try:
        return os.read(file, 256)
    finally:
        os.close(file)


def failure(status: str, error: BaseException) -> dict[str, Any]:
    """The answer that says what went wrong; a failed allocation has a status of its own."""
    detail = " ".join(str(error).split())
    is_memory = isinstance(error, MemoryError) or any(text in detail.lower() for text in _OUT_OF_MEMORY_TEXTS)
    return {"status": "memory" if is_memory else status, "detail": detail[:_MAX_DETAIL_CHARACTERS]}


def _load(sessions: _Sessions, message: Message) -> dict[str, Any]:
    header = message.header
    if not message.blobs:
        return {"status": "needed" if sessions.get(header["key"]) is None else "loaded"}
    try:
        with Limits(header):
            fallback = sessions.build(header["key"], bytes(message.blobs[0]), header)
    except sessions.malformed as error:
        return failure("malformed", error)
    except sessions.unsupported as error:
        return failure("unsupported", error)
    except MemoryError as error:
        return failure("memory", error)
    if fallback is not None:
        return {"status": "provider", "detail": f"onnxruntime fell back to {fallback}"}
    return {"status": "loaded"}


def _run(sessions: _Sessions, message: Message) -> tuple[dict[str, Any], list[memoryview]]:
    header = message.header
    try:
        with Limits(header):
            entries = zip(header["tensors"], message.blobs, strict=True)
            inputs = dict(unpack_tensor(entry, blob) for entry, blob in entries)
            session = sessions.get(header["key"])
            if session is None:
                return {"status": "needed"}, []
            outputs = session.run(header["outputs"], inputs)
            if not all(isinstance(output, np.ndarray) for output in outputs):
                return {"status": "failed", "detail": "an output is not a tensor"}, []
            if sum(output.nbytes for output in outputs) > header["memory_bytes"]:
                return {"status": "memory", "detail": "the outputs are larger than the memory limit"}, []
            packed = [pack_tensor(name, output) for name, output in zip(header["outputs"], outputs, strict=True)]
    except sessions.failed as error:
        return failure("failed", error), []
    return {"status": "done", "tensors": [entry for entry, _ in packed]}, [blob for _, blob in packed]


def _receive(stream: IO[bytes], inbox: queue.SimpleQueue[Message]) -> None:
    try:
        while True:
            inbox.put(read_message(stream))
    except (EOFError, OSError, ValueError, MessageTooLarge):
        # SAFETY: the other end is gone; leaving at once, even in the middle of a run, is what prevents orphans.
        os._exit(0)


def _private_output() -> IO[bytes]:
    """The pipe to the starting process, out of reach of native code that prints to standard output."""
    pipe = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    return pipe


class Channel:
    """The way to the starting process, whose end is also this process's end; made before anything else is loaded."""

    def __init__(self) -> None:
        # A terminal or a service manager signals the whole group; when to end is the starting process's decision.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        self._outbox = _private_output()
        self._inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
        threading.Thread(target=_receive, args=(sys.stdin.buffer, self._inbox), daemon=True).start()
        if sys.platform != "win32":
            import resource

            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    def tell(self, header: dict[str, Any]) -> None:
        """Sends a message without blobs."""
        write_message(self._outbox, header)

    def serve(self, operations: Mapping[str, Operation]) -> NoReturn:
        """Answers messages, each by the operation that it names, until the starting process is gone."""
        while True:
            message = self._inbox.get()
            write_message(self._outbox, *operations[message.header["operation"]](message))
            del message


def main(capacity: int) -> None:
    """Serves messages from standard input until it closes."""
    channel = Channel()
    try:
        sessions = _Sessions(capacity=capacity)
    except ImportError as error:
        channel.tell(failure("unavailable", error))
        return
    channel.tell({"status": "ready", "providers": sessions.providers})
    channel.serve(
        {
            "load": lambda message: (_load(sessions, message), []),
            "run": lambda message: _run(sessions, message),
            "forget": lambda message: forget(sessions.kept, message),
        }
    )


if __name__ == "__main__":
    main(int(sys.argv[1]))
