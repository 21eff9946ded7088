"""From an .onnx file to the id under which it is registered. `docs/encoding.md` is the norm."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Final

from sworn.codec import hashing
from sworn.errors import ModelError, ModelTooLarge
from sworn.model.admission import MAX_ARTIFACT_BYTES, admit
from sworn.model.commitment import program_root, weights_root
from sworn.model.limits import limits_of
from sworn.model.program import Program
from sworn.model.schema import graph_schema
from sworn.types import ZERO_HASH, Model, Profile, Schema

#: Version of the identity scheme.
MODEL_VERSION: Final = 1


def schema_of(artifact: bytes, *, max_bytes: int = MAX_ARTIFACT_BYTES) -> Schema:
    """Names, dtypes and shapes of a model's inputs and outputs, after every check that `admit` makes.

    Raises `ModelTooLarge`, `ModelMalformed` and `ModelUnsupported`.
    """
    return graph_schema(admit(artifact, max_bytes=max_bytes).graph)


def identify_signed(artifact: bytes, *, max_bytes: int = MAX_ARTIFACT_BYTES) -> tuple[Model, Schema]:
    """The record of a model in profile ``signed``, which takes no program, and the schema inside it.

    Raises `ModelTooLarge`, `ModelMalformed` and `ModelUnsupported`.
    """
    schema = schema_of(artifact, max_bytes=max_bytes)
    model = Model(
        version=MODEL_VERSION,
        profile=Profile.SIGNED,
        artifact_hash=hashlib.sha256(artifact).digest(),
        program_root=ZERO_HASH,
        weights_root=ZERO_HASH,
        io_hash=hashing.io_hash(schema),
        limits_hash=ZERO_HASH,
    )
    return model, schema


def identify_program(
    artifact: bytes, *, program: Program, weight_roots: Sequence[bytes], schema: Schema, profile: Profile
) -> Model:
    """The model record of a compiled model. ``weight_roots`` are the data roots of its weights.

    Raises `ModelUnsupported` for a profile without programs.
    """
    return Model(
        version=MODEL_VERSION,
        profile=profile,
        artifact_hash=hashlib.sha256(artifact).digest(),
        program_root=program_root(program),
        weights_root=weights_root(weight_roots),
        io_hash=hashing.io_hash(schema),
        limits_hash=limits_of(profile).to_hash(),
    )


def read_artifact(path: str | os.PathLike[str], *, max_bytes: int = MAX_ARTIFACT_BYTES) -> bytes:
    """The bytes of a regular file, unchecked except for their number.

    Raises `ModelTooLarge` before reading, `ModelError` when the file cannot be read.
    """
    try:
        with _open_regular(Path(path)) as file:
            size = os.fstat(file.fileno()).st_size
            if size > max_bytes:
                raise ModelTooLarge(f"{path} has {size} bytes, more than {max_bytes}")
            artifact = file.read(max_bytes + 1)
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot read the model: {error}") from error
    if len(artifact) > max_bytes:
        raise ModelTooLarge(f"{path} grew beyond {max_bytes} bytes while it was read")
    return artifact


def _open_regular(path: Path) -> BinaryIO:
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(f"{path} is not a regular file")
    # Windows has no O_NONBLOCK; elsewhere it keeps a pipe put there since the check from blocking.
    return os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb")
