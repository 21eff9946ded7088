"""Puts a compiled model together as everybody does: the compiler, and the executors of this package."""

from __future__ import annotations

from sworn.types import InputShapes
from sworn.verification.compilation import compile_artifact
from sworn.verification.compiled import CompiledModel


def assemble(
    artifact: bytes, *, profile: str, input_shapes: InputShapes | None = None, threads: int = 1
) -> CompiledModel:
    """A model from the bytes of its file; engines and compiler are loaded now. Raises as `sworn.compile_model` does."""
    from sworn.engine.bounded import BoundedExecutor
    from sworn.engine.exact import ExactExecutor
    from sworn.model.compiler import lower

    return compile_artifact(
        artifact,
        profile=profile,
        input_shapes=input_shapes,
        lower=lower,
        make_executor=ExactExecutor,
        make_bounded=BoundedExecutor,
        threads=threads,
    )
