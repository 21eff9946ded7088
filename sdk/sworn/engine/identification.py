"""From an .onnx file, a profile and input shapes to the id under which the model is registered, in this process.

`docs/encoding.md` is the norm. In the profiles with programs the id follows from what the file compiles to, so that
whoever computes it knows that program and file belong together.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from sworn.codec import hashing
from sworn.engine.protocol import IdentifiedModel, ModelSource
from sworn.errors import ConfigurationError, ModelUnsupported, ProfileUnavailable
from sworn.model import MAX_ARTIFACT_BYTES, identify_signed, read_artifact
from sworn.model.commitment import array_roots, expected_bytes
from sworn.model.identity import identify_program
from sworn.model.limits import limits_of
from sworn.model.lowered import Lowered
from sworn.model.program import Program
from sworn.model.validation import validate
from sworn.model.weight_rules import validate_weights
from sworn.types import DEFAULT_PROFILE, InputShapes, ModelId, Profile

ProfileLike = Profile | str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CompiledProgram:
    """A model in a profile with programs, and the program."""

    identified: IdentifiedModel
    lowered: Lowered


def profile_of(value: ProfileLike) -> Profile:
    """The profile for a word. Raises `ConfigurationError`."""
    if isinstance(value, Profile) and value is not Profile.NONE:
        return value
    named = {profile.name.lower(): profile for profile in Profile if profile is not Profile.NONE}
    if value not in named:
        raise ConfigurationError(f"a profile is one of {', '.join(named)}, not {value!r}")
    return named[str(value)]


def identify(source: ModelSource, *, max_bytes: int = MAX_ARTIFACT_BYTES) -> IdentifiedModel:
    """What a source is.

    Raises `ModelTooLarge`, `ModelMalformed`, `ModelUnsupported`, of it `ProfileUnavailable` with operator, node and
    reason for a model that cannot be compiled, and `ConfigurationError` for input shapes that do not fit.
    """
    if source.profile is not Profile.SIGNED:
        return compile_program(source, max_bytes=max_bytes).identified
    if source.input_shapes:
        raise ConfigurationError("in profile signed a model has the shapes of its file: give no input shapes")
    model, schema = identify_signed(source.artifact, max_bytes=max_bytes)
    return IdentifiedModel(source=source, model=model, model_id=hashing.model_id(model), schema=schema)


def compile_program(source: ModelSource, *, max_bytes: int = MAX_ARTIFACT_BYTES) -> CompiledProgram:
    """A model's program, with the id that follows from it. Raises as `identify` does."""
    from sworn.model.compiler import lower

    shapes = {name: tuple(shape) for name, shape in source.input_shapes.items()}
    try:
        limits = limits_of(source.profile)
        lowered = lower(source.artifact, input_shapes=shapes, evaluate=_evaluate, max_bytes=max_bytes)
        validate(lowered.program)
        validate_weights(lowered.program, lowered.weights)
        limits.check(lowered.program)
    except ModelUnsupported as error:
        name = source.profile.name.lower()
        raise ProfileUnavailable(
            f"the model cannot have profile {name}: {error}. "
            f"Change the model, or name profile signed ({Profile.SIGNED.promise})"
        ) from error
    model = identify_program(
        source.artifact,
        program=lowered.program,
        weight_roots=array_roots(lowered.weights),
        schema=lowered.schema,
        profile=source.profile,
    )
    values = (*lowered.program.inputs, *(step.output for step in lowered.program.steps))
    identified = IdentifiedModel(
        source=source,
        model=model,
        model_id=hashing.model_id(model),
        schema=lowered.schema,
        trace_bytes=sum(map(expected_bytes, values)),
    )
    return CompiledProgram(identified=identified, lowered=lowered)


def model_id(
    model: bytes | str | os.PathLike[str],
    *,
    profile: ProfileLike = DEFAULT_PROFILE,
    input_shapes: InputShapes | None = None,
    max_bytes: int = MAX_ARTIFACT_BYTES,
) -> ModelId:
    """The id of a model given as the path of an .onnx file or as its bytes.

    ``profile`` is ``"exact"``, ``"bounded"`` or ``"signed"``; ``input_shapes`` gives the shapes of inputs whose file
    leaves dimensions open. Raises `ModelError` for a file that cannot be read or used, of it `ProfileUnavailable` where
    the profile asks more than the model allows, and `ConfigurationError` for another profile or shapes that do not fit.
    """
    artifact = model if isinstance(model, bytes) else read_artifact(model, max_bytes=max_bytes)
    source = ModelSource(artifact=artifact, profile=profile_of(profile), input_shapes=input_shapes or {})
    return identify(source, max_bytes=max_bytes).model_id


def _evaluate(program: Program, weights: Sequence[NDArray[Any]], inputs: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    # Constants are folded exactly in every profile; loading the executor is left to those who compile.
    from sworn.engine.exact import ExactExecutor

    found = ExactExecutor(program, weights).run(inputs, keep=True, include_virtual=True)
    return [found[number] for number in range(len(program.inputs) + len(program.steps))]
