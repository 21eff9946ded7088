"""A committed program: what traces are traces of, and faults are proved against."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from sworn.codec.hashing import model_id
from sworn.codec.trees import seal_data
from sworn.model.commitment import array_trees
from sworn.model.identity import identify_program
from sworn.model.limits import limits_of
from sworn.model.lowered import Lowered
from sworn.model.program import Program
from sworn.model.validation import validate
from sworn.model.weight_rules import validate_weights
from sworn.types import Model, ModelId, Profile, Schema

#: Takes a value of a run by its number.
OnValue = Callable[[int, NDArray[Any]], None]


class Executor(Protocol):
    """Runs one program with one set of weights."""

    def run(
        self,
        inputs: Sequence[NDArray[Any]],
        *,
        keep: bool | Collection[int] = False,
        include_virtual: bool = False,
        on_value: OnValue | None = None,
    ) -> dict[int, NDArray[Any]]:
        """Value tensors by number, each in the shape that its step states: those in ``keep`` (True: all), and outputs.

        Virtual steps are computed with ``include_virtual``. ``on_value`` gets the number of every value and the value
        as soon as it is there, inputs first; nothing writes into it again. Raises `EngineError`, and whatever
        ``on_value`` raises.
        """
        ...


class MakeExecutor(Protocol):
    """Prepares a program for many runs."""

    def __call__(self, program: Program, weights: Sequence[NDArray[Any]], *, threads: int = 1) -> Executor: ...


class StepExecutor(Executor, Protocol):
    """An `Executor` of exact bits that also looks at single steps."""

    def run_step(self, number: int, operands: Mapping[int, NDArray[Any]]) -> NDArray[Any]:
        """What one step gives for the values that it reads, by number, in their own shapes. Raises `EngineError`."""
        ...


class MakeStepExecutor(Protocol):
    """Prepares a program for many runs of exact bits."""

    def __call__(self, program: Program, weights: Sequence[NDArray[Any]], *, threads: int = 1) -> StepExecutor: ...


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
    #: Levels of the chunk tree over each weight tensor: a sixteenth of its size, for openings without hashing.
    weight_trees: tuple[tuple[bytes, ...], ...]
    step_names: tuple[str, ...]

    @classmethod
    def commit(cls, artifact: bytes, lowered: Lowered, *, profile: Profile, threads: int = 1) -> Subject:
        """Checks and commits what the compiler made; ``threads`` bounds those that hash.

        Raises `ModelMalformed` and `ModelUnsupported`.
        """
        validate(lowered.program)
        validate_weights(lowered.program, lowered.weights)
        limits_of(profile).check(lowered.program, lowered.step_names)
        trees = array_trees(lowered.weights, threads=threads)
        sizes = (array.nbytes for array in lowered.weights)
        roots = tuple(seal_data(size, levels[-1]) for size, levels in zip(sizes, trees, strict=True))
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
            weight_trees=trees,
            step_names=lowered.step_names,
        )

    @property
    def value_count(self) -> int:
        """Number of value tensors: model inputs, then one per step."""
        return len(self.program.inputs) + len(self.program.steps)
