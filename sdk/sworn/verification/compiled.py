"""`CompiledModel`: a model as anyone can check it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sworn.codec.tensors import decode_tensors, encode_tensors
from sworn.errors import ConfigurationError, RunNotFinite
from sworn.model.lowered import Lowered
from sworn.model.program import Program
from sworn.types import Model, ModelId, Profile, Schema, Tensors
from sworn.verification.audit import MAX_FAULTS, audit
from sworn.verification.faults import Fault
from sworn.verification.subject import Executor, MakeExecutor, MakeStepExecutor, OnValue, StepExecutor, Subject
from sworn.verification.trace import Trace


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CompiledModel:
    """A model of whose runs every element can be checked.

    In profile ``exact`` a run gives the same bits on every machine, in ``bounded`` it stays within the bounds of each
    step. Made by `sworn.compile_model`.
    """

    subject: Subject = field(repr=False)
    executor: Executor = field(repr=False)
    #: Gives exact bits: what audits compare with.
    checker: StepExecutor = field(repr=False)
    #: Makes such executors, for parts of the program.
    make_executor: MakeStepExecutor = field(repr=False)
    #: Threads that a run or a trace may use; in profile ``exact`` no bit depends on them.
    threads: int = 1

    @classmethod
    def of(
        cls,
        artifact: bytes,
        lowered: Lowered,
        *,
        profile: Profile,
        make_executor: MakeStepExecutor,
        make_bounded: MakeExecutor,
        threads: int = 1,
    ) -> Self:
        """Commits to what the compiler made of an artifact. Raises `ModelMalformed` and `ModelUnsupported`.

        ``make_executor`` makes executors of exact bits, ``make_bounded`` what runs the model in profile ``bounded``.
        """
        subject = Subject.commit(artifact, lowered, profile=profile, threads=threads)
        checker = make_executor(subject.program, subject.weights, threads=threads)
        executor: Executor = checker
        if profile is Profile.BOUNDED:
            executor = make_bounded(subject.program, subject.weights, threads=threads)
        return cls(subject=subject, executor=executor, checker=checker, make_executor=make_executor, threads=threads)

    @property
    def model(self) -> Model:
        """The preimage of `model_id`: what is registered on chain."""
        return self.subject.model

    @property
    def model_id(self) -> ModelId:
        """The id under which the model is registered."""
        return self.subject.model_id

    @property
    def schema(self) -> Schema:
        """Names, dtypes and fixed shapes of inputs and outputs."""
        return self.subject.schema

    @property
    def program(self) -> Program:
        """The steps."""
        return self.subject.program

    @property
    def weights(self) -> tuple[NDArray[Any], ...]:
        """The constants of the program."""
        return self.subject.weights

    @property
    def step_names(self) -> tuple[str, ...]:
        """Where each step comes from, for people."""
        return self.subject.step_names

    def run(self, inputs: Tensors) -> dict[str, NDArray[Any]]:
        """The outputs by name.

        Raises `ShapeMismatch` and `ValueNotFinite` for inputs that do not fit, `RunNotFinite` and other `EngineError`
        where the model gives these inputs no answer.
        """
        return self._outputs(self.executor.run(self._arrays(inputs)))

    def trace(self, inputs: Tensors, *, path: str | os.PathLike[str] | None = None) -> Trace:
        """A run with every tensor committed to, while it goes on.

        The values are kept in a trace file at ``path``, which `load_trace` reads; without it in memory, or in a
        temporary file where they are many. Raises as `run` does, and `TraceError`.
        """
        arrays = self._arrays(inputs)

        def run(on_value: OnValue) -> None:
            self._outputs(self.executor.run(arrays, include_virtual=True, on_value=on_value))

        return Trace.record(self.subject, run, path=path)

    def load_trace(self, path: str | os.PathLike[str]) -> Trace:
        """A trace from its file, of which every byte is checked first; values are read when they are asked for.

        Raises `ConfigurationError` for a trace of another model, `TraceCorrupt` and `TraceError`.
        """
        return Trace.load(self.subject, path)

    def audit(self, trace: Trace, *, max_faults: int = MAX_FAULTS) -> list[Fault]:
        """Everything that is wrong with a trace of this model, at most ``max_faults``: every element is checked.

        Raises `ConfigurationError` for a trace of another model.
        """
        if trace.subject.model_id != self.model_id:
            raise ConfigurationError("the trace is of another model")
        return audit(trace, self.checker, self.make_executor, max_faults=max_faults)

    def _outputs(self, found: dict[int, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        shaped = (found[output.value].reshape(output.shape) for output in self.program.outputs)
        outputs = dict(zip((spec.name for spec in self.schema.outputs), shaped, strict=True))
        _check_finite(outputs)
        return outputs

    def _arrays(self, inputs: Tensors) -> list[NDArray[Any]]:
        specs = self.schema.inputs
        canonical = decode_tensors(encode_tensors(inputs, specs), specs)
        return [canonical[spec.name] for spec in specs]


def _check_finite(outputs: dict[str, NDArray[Any]]) -> None:
    for name, array in outputs.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise RunNotFinite(f"output {name!r} is infinite")
