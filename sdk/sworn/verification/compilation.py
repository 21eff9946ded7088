"""Puts a compiled model together from the parts that read, run and check it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

from sworn.errors import ModelUnsupported
from sworn.model.lowered import Evaluator, Lowered
from sworn.model.program import Program
from sworn.types import Profile
from sworn.verification.compiled import CompiledModel
from sworn.verification.subject import MakeExecutor


class Lower(Protocol):
    """Turns the bytes of an .onnx file into a program. Raises `ModelError` and `ConfigurationError`."""

    def __call__(
        self, artifact: bytes, *, input_shapes: Mapping[str, tuple[int, ...]] | None, evaluate: Evaluator
    ) -> Lowered: ...


def compile_artifact(
    artifact: bytes,
    *,
    profile: str,
    input_shapes: Mapping[str, tuple[int, ...]] | None,
    lower: Lower,
    make_executor: MakeExecutor,
    threads: int = 1,
) -> CompiledModel:
    """A model as anyone can check it. Raises as `sworn.compile_model` does."""
    if profile != Profile.EXACT.name.lower():
        raise ModelUnsupported(f"models cannot be compiled in profile {profile!r}, only in 'exact'")

    def evaluate(
        program: Program, weights: Sequence[NDArray[Any]], inputs: Sequence[NDArray[Any]]
    ) -> list[NDArray[Any]]:
        found = make_executor(program, weights).run(inputs, keep=True, include_virtual=True)
        return [found[number] for number in range(len(program.inputs) + len(program.steps))]

    lowered = lower(artifact, input_shapes=input_shapes, evaluate=evaluate)
    return CompiledModel.of(artifact, lowered, profile=Profile.EXACT, make_executor=make_executor, threads=threads)
