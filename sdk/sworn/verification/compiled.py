"""`CompiledModel`: a model as anyone can check it."""

from __future__ import annotations

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
from sworn.verification.subject import Executor, MakeExecutor, Subject
from sworn.verification.trace import Trace


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CompiledModel:
    """A model in profile ``exact``: the same bits on every machine, and every element of a run can be checked.

    Made by `sworn.compile_model`.
    """

    subject: Subject = field(repr=False)
    executor: Executor = field(repr=False)
    #: For steps that are looked at alone.
    make_executor: MakeExecutor = field(repr=False)
    #: Threads that a run or a trace may use; no bit depends on them.
    threads: int = 1

    @classmethod
    def of(
        cls, artifact: bytes, lowered: Lowered, *, profile: Profile, make_executor: MakeExecutor, threads: int = 1
    ) -> Self:
        """Commits to what the compiler made of an artifact. Raises `ModelMalformed` and `ModelUnsupported`."""
        subject = Subject.commit(artifact, lowered, profile=profile)
        executor = make_executor(subject.program, subject.weights, threads=threads)
        return cls(subject=subject, executor=executor, make_executor=make_executor, threads=threads)

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
        found = self.executor.run(self._arrays(inputs))
        shaped = (found[output.value].reshape(output.shape) for output in self.program.outputs)
        outputs = dict(zip((spec.name for spec in self.schema.outputs), shaped, strict=True))
        _check_finite(outputs)
        return outputs

    def trace(self, inputs: Tensors) -> Trace:
        """A run with every tensor kept and committed to. Raises as `run` does."""
        found = self.executor.run(self._arrays(inputs), keep=True, include_virtual=True)
        trace = Trace.of(
            self.subject, [found[number] for number in range(self.subject.value_count)], threads=self.threads
        )
        _check_finite(trace.outputs)
        return trace

    def audit(self, trace: Trace, *, max_faults: int = MAX_FAULTS) -> list[Fault]:
        """Everything that is wrong with a trace of this model, at most ``max_faults``: every element is checked.

        Raises `ConfigurationError` for a trace of another model.
        """
        if trace.subject.model_id != self.model_id:
            raise ConfigurationError("the trace is of another model")
        return audit(trace, self.executor, self.make_executor, max_faults=max_faults)

    def _arrays(self, inputs: Tensors) -> list[NDArray[Any]]:
        specs = self.schema.inputs
        canonical = decode_tensors(encode_tensors(inputs, specs), specs)
        return [canonical[spec.name] for spec in specs]


def _check_finite(outputs: dict[str, NDArray[Any]]) -> None:
    for name, array in outputs.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise RunNotFinite(f"output {name!r} is infinite")
