"""A committed program: what traces are traces of, and faults are proved against."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from sworn.codec.hashing import model_id
from sworn.model.commitment import array_roots
from sworn.model.identity import identify_program
from sworn.model.limits import limits_of
from sworn.model.lowered import Lowered
from sworn.model.program import Program
from sworn.model.validation import validate
from sworn.model.weight_rules import validate_weights
from sworn.types import Model, ModelId, Profile, Schema


class Executor(Protocol):
    """Runs one program with one set of weights."""

    def run(
        self, inputs: Sequence[NDArray[Any]], *, keep: bool | Collection[int] = False, include_virtual: bool = False
    ) -> dict[int, NDArray[Any]]:
        """Value tensors by number, each in the shape that its step states: those in ``keep`` (True: all), and outputs.

        Virtual steps are computed with ``include_virtual``. Raises `EngineError`.
        """
        ...


class MakeExecutor(Protocol):
    """Prepares a program for many runs; the bits do not depend on the number of threads."""

    def __call__(self, program: Program, weights: Sequence[NDArray[Any]], *, threads: int = 1) -> Executor: ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Subject:
    """A program with its weights, names and roots."""

    model: Model
    model_id: ModelId
    schema: Schema
    program: Program
    weights: tuple[NDArray[Any], ...]
    #: Data root of each weight tensor.
    weight_roots: tuple[bytes, ...]
    step_names: tuple[str, ...]

    @classmethod
    def commit(cls, artifact: bytes, lowered: Lowered, *, profile: Profile) -> Subject:
        """Checks and commits what the compiler made. Raises `ModelMalformed` and `ModelUnsupported`."""
        validate(lowered.program)
        validate_weights(lowered.program, lowered.weights)
        limits_of(profile).check(lowered.program)
        roots = array_roots(lowered.weights)
        model = identify_program(
            artifact, program=lowered.program, weight_roots=roots, schema=lowered.schema, profile=profile
        )
        return cls(
            model=model,
            model_id=model_id(model),
            schema=lowered.schema,
            program=lowered.program,
            weights=lowered.weights,
            weight_roots=roots,
            step_names=lowered.step_names,
        )

    @property
    def value_count(self) -> int:
        """Number of value tensors: model inputs, then one per step."""
        return len(self.program.inputs) + len(self.program.steps)
