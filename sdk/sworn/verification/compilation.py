"""Puts a compiled model together from the parts that read, run and check it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Protocol

from numpy.typing import NDArray

from sworn.errors import ModelUnsupported
from sworn.model.lowered import Evaluator, Lowered
from sworn.model.program import Program
from sworn.types import Profile
from sworn.verification.compiled import CompiledModel
from sworn.verification.subject import MakeExecutor, MakeStepExecutor

_PROFILES: Final = MappingProxyType({"exact": Profile.EXACT, "bounded": Profile.BOUNDED})


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
    make_executor: MakeStepExecutor,
    make_bounded: MakeExecutor,
    threads: int = 1,
) -> CompiledModel:
    """A model as anyone can check it. Raises as `sworn.compile_model` does.

    ``make_executor`` makes executors of exact bits: they derive constants, and check. ``make_bounded`` makes those that
    run models in profile `bounded`.
    """
    if profile not in _PROFILES:
        raise ModelUnsupported(f"models cannot be compiled in profile {profile!r}, only in 'exact' and 'bounded'")

    def evaluate(
        program: Program, weights: Sequence[NDArray[Any]], inputs: Sequence[NDArray[Any]]
    ) -> list[NDArray[Any]]:
        found = make_executor(program, weights).run(inputs, keep=True, include_virtual=True)
        return [found[number] for number in range(len(program.inputs) + len(program.steps))]

    lowered = lower(artifact, input_shapes=input_shapes, evaluate=evaluate)
    return CompiledModel.of(
        artifact,
        lowered,
        profile=_PROFILES[profile],
        make_executor=make_executor,
        make_bounded=make_bounded,
        threads=threads,
    )
