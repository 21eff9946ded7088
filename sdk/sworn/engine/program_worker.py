"""The program inside a worker process of the profiles with programs: compiles models and runs their programs.

It compiles what it is given itself, so that what runs is what the file says. It speaks the messages of `worker`, reads
no key, and finds none in its environment.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sworn.engine.exact import ExactExecutor
from sworn.engine.identification import CompiledProgram, compile_program
from sworn.engine.program_checks import check_machine
from sworn.engine.program_messages import error_to_json, identified_to_json, source_from_json
from sworn.engine.worker import Channel, Limits, Message, failure, forget, pack_tensor, unpack_tensor
from sworn.errors import ConfigurationError, EngineError, ProfileUnavailable, RunFailed, SwornError
from sworn.model.exhibit_file import write_exhibit
from sworn.model.trace_file import TraceWriter
from sworn.types import Profile

Answer = tuple[dict[str, Any], Sequence[bytes | memoryview]]


class Executor(Protocol):
    """Runs one program with one set of weights."""

    def run(
        self,
        inputs: Sequence[NDArray[Any]],
        *,
        include_virtual: bool = False,
        on_value: Callable[[int, NDArray[Any]], None] | None = None,
    ) -> dict[int, NDArray[Any]]:
        """The outputs by number; ``on_value`` gets every value in its turn. Raises `EngineError`."""
        ...


class _Prepared:
    """A compiled model with what runs it."""

    def __init__(self, compiled: CompiledProgram, *, threads: int) -> None:
        self.compiled = compiled
        self.model_id = compiled.identified.model_id.hex()
        lowered = compiled.lowered
        self.executor = _executor(compiled.identified.model.profile)(lowered.program, lowered.weights, threads=threads)
        #: Whether it runs under its id: what is compiled or laid out by its first run counts as loading.
        self.is_admitted = False

    def warm_up(self) -> None:
        """One run, once."""
        if self.is_admitted:
            return
        self.is_admitted = True
        inputs = [np.zeros(each.shape, dtype=each.dtype.numpy) for each in self.compiled.lowered.program.inputs]
        # Zeros may be an input on which the model gives no answer.
        with suppress(EngineError):
            self.executor.run(inputs)

    def run(self, inputs: Sequence[NDArray[Any]], *, trace_file: str | None) -> tuple[list[NDArray[Any]], str]:
        """Outputs in order, each in its shape, and the trace root as hex, empty without a trace."""
        program, root = self.compiled.lowered.program, ""
        if trace_file is None:
            found = self.executor.run(inputs)
        else:
            with TraceWriter(trace_file, program, model_id=self.compiled.identified.model_id) as writer:
                found = self.executor.run(inputs, include_virtual=True, on_value=writer.write)
                root = writer.finish().hex()
        return [found[output.value].reshape(output.shape) for output in program.outputs], root


class _Programs:
    """The most recently used models."""

    def __init__(self, *, capacity: int) -> None:
        self._capacity = capacity
        self.kept: OrderedDict[str, _Prepared] = OrderedDict()

    def load(self, message: Message) -> Answer:
        """Compiles a model, unless it is here; says what it is, or what is wrong with it."""
        key = message.header["key"]
        prepared = self.kept.get(key)
        if prepared is None and not message.blobs:
            return {"status": "needed"}, []
        try:
            with Limits(message.header):
                prepared = prepared or self._compiled(message)
                _admit(prepared, message.header["model_id"])
        except SwornError as error:
            return error_to_json(error), []
        except MemoryError as error:
            return failure("memory", error), []
        while key not in self.kept and len(self.kept) >= self._capacity:
            self.kept.popitem(last=False)
        self.kept[key] = prepared
        self.kept.move_to_end(key)
        return {"status": "loaded", **identified_to_json(prepared.compiled.identified)}, []

    def run(self, message: Message) -> Answer:
        """Runs a model that has been loaded under the id that is given."""
        header = message.header
        prepared = self.kept.get(header["key"])
        # INVARIANT: nothing runs under an id that has not been held against what the file compiles to.
        if prepared is None or not prepared.is_admitted or prepared.model_id != header["model_id"]:
            return {"status": "needed"}, []
        self.kept.move_to_end(header["key"])
        try:
            with Limits(header):
                entries = zip(header["tensors"], message.blobs, strict=True)
                inputs = [unpack_tensor(entry, blob)[1] for entry, blob in entries]
                outputs, root = prepared.run(inputs, trace_file=header["trace_file"])
                if sum(output.nbytes for output in outputs) > header["memory_bytes"]:
                    return {"status": "memory", "detail": "the outputs are larger than the memory limit"}, []
                packed = [pack_tensor(name, output) for name, output in zip(header["outputs"], outputs, strict=True)]
        except SwornError as error:
            return error_to_json(error), []
        except MemoryError as error:
            return failure("memory", error), []
        return {"status": "done", "trace_root": root, "tensors": [entry for entry, _ in packed]}, [
            blob for _, blob in packed
        ]

    def exhibit(self, message: Message) -> Answer:
        """Writes a model that has been loaded into a folder."""
        header = message.header
        try:
            with Limits(header):
                compiled = self._loaded(header["key"]).compiled
                lowered, identity = compiled.lowered, compiled.identified.model_id
                write_exhibit(Path(header["folder"]), lowered.program, lowered.weights, model_id=identity)
        except SwornError as error:
            return error_to_json(error), []
        except MemoryError as error:
            return failure("memory", error), []
        return {"status": "shown"}, []

    def _compiled(self, message: Message) -> _Prepared:
        compiled = compile_program(source_from_json(message.header, bytes(message.blobs[0])))
        return _Prepared(compiled, threads=message.header["threads"])

    def _loaded(self, key: str) -> _Prepared:
        if key not in self.kept:
            raise RunFailed("the model is gone")
        return self.kept[key]


def _admit(prepared: _Prepared, expected: str | None) -> None:
    """Makes a model ready to run under an id, where one is given."""
    found = prepared.compiled.identified.model_id.hex()
    # INVARIANT: nothing runs under an id whose program is not what the file compiles to.
    if expected not in (None, found):
        raise ConfigurationError(f"the file compiles to the model 0x{found}, not to 0x{expected}")
    if expected is not None:
        prepared.warm_up()


def _executor(profile: Profile) -> Callable[..., Executor]:
    if profile is Profile.EXACT:
        return ExactExecutor
    if profile is Profile.BOUNDED:
        # onnxruntime is loaded for those who need it.
        from sworn.engine.bounded import BoundedExecutor

        return BoundedExecutor
    raise ProfileUnavailable(f"programs do not run in profile {profile.name.lower()}")


def main(capacity: int) -> None:
    """Serves messages from standard input until it closes."""
    channel = Channel()
    try:
        check_machine()
    except SwornError as error:
        channel.tell(error_to_json(error))
        return
    channel.tell({"status": "ready"})
    programs = _Programs(capacity=capacity)
    channel.serve(
        {
            "load": programs.load,
            "run": programs.run,
            "exhibit": programs.exhibit,
            "forget": lambda message: forget(programs.kept, message),
        }
    )


if __name__ == "__main__":
    main(int(sys.argv[1]))
