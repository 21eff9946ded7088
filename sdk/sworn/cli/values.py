"""What people type: amounts, tensors, ids, durations."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from enum import Enum
from fractions import Fraction
from itertools import accumulate
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final

import numpy as np
import typer

from sworn.errors import CodecError
from sworn.types import DEFAULT_PROFILE

_UNITS: Final[Mapping[str, int]] = MappingProxyType({"wei": 1, "gwei": 10**9, "eth": 10**18, "ether": 10**18})
_AMOUNT: Final = re.compile(r"([0-9][0-9_]{0,80}(?:\.[0-9]{1,40})?)\s*([a-z]*)")
#: Numpy files are mapped into memory whole: anything beyond this is no input of a contract.
_MAX_FILE_BYTES: Final = 256 << 20
_DEPTH: Final[Mapping[str, int]] = MappingProxyType({"[": 1, "{": 1, "]": -1, "}": -1})
#: Twice the highest rank of a tensor.
_MAX_DEPTH: Final = 64


def parse_amount(text: str | int) -> int:
    """``1.5eth``, ``20gwei`` or ``1000wei`` in wei; a bare number is refused, except zero. A default comes as it is."""
    if isinstance(text, int):
        return text
    match = _AMOUNT.fullmatch(text.strip().lower())
    if match is None:
        raise typer.BadParameter(f"{text!r} is no amount: write 1.5eth, 20gwei or 1000wei")
    number, unit = match.groups()
    value = Fraction(number.replace("_", ""))
    if not unit and value != 0:
        raise typer.BadParameter(f"{text!r} has no unit: write {text}eth, {text}gwei or {text}wei")
    if unit and unit not in _UNITS:
        raise typer.BadParameter(f"{unit!r} is no unit: use eth, gwei or wei")
    wei = value * _UNITS.get(unit, 1)
    if wei.denominator != 1:
        raise typer.BadParameter(f"{text!r} is not a whole number of wei")
    return wei.numerator


def amount(help_text: str, *names: str) -> Any:
    """The declaration of an amount option."""
    return typer.Option(*names, parser=parse_amount, metavar="AMOUNT", help=f"{help_text} For example 0.5eth.")


def parse_tensors(items: Sequence[str], file: Path | None) -> dict[str, Any]:
    """Tensors by name from ``name=@file.npy``, ``name=[1, 2]`` and a .json or .npz file.

    Raises `CodecError` that says what is wrong and how to write it.
    """
    tensors = {} if file is None else _file_tensors(file)
    for item in items:
        name, mark, value = item.partition("=")
        if not mark or not name:
            raise CodecError(f"--input {item!r}: write name=@file.npy or name=[1.0, 2.0]")
        if name in tensors:
            raise CodecError(f"the input {name!r} is given twice")
        tensors[name] = _array_file(Path(value[1:])) if value.startswith("@") else _json(value, what=f"--input {name}")
    if not tensors:
        raise CodecError("no inputs: give --input name=@file.npy, --input name=[1.0, 2.0] or --inputs file.json")
    return tensors


def _file_tensors(file: Path) -> dict[str, Any]:
    path = _checked(file)
    if path.suffix == ".npz":
        return dict(_loaded(path))
    if path.suffix != ".json":
        raise CodecError(f"{file}: expected a .json or .npz file")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise CodecError(f"{file} is not UTF-8") from error
    content = _json(text, what=str(file))
    if not isinstance(content, dict):
        raise CodecError(f'{file}: expected an object such as {{"features": [[1.0, 2.0]]}}')
    return content


def _array_file(file: Path) -> Any:
    path = _checked(file)
    loaded = _loaded(path)
    if not isinstance(loaded, np.ndarray):
        raise CodecError(f"{file} holds several arrays: give it with --inputs")
    return loaded


def _loaded(path: Path) -> Any:
    try:
        # SAFETY: pickled objects would run code.
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise CodecError(f"{path} is not a numpy file of plain arrays") from error


def _checked(file: Path) -> Path:
    path = file.expanduser()
    if not path.is_file():
        raise CodecError(f"there is no file {file}")
    if path.stat().st_size > _MAX_FILE_BYTES:
        raise CodecError(f"{file} is over {_MAX_FILE_BYTES} bytes")
    return path


def _json(text: str, *, what: str) -> Any:
    # SAFETY: the JSON reader recurses; where a library has raised Python's recursion limit, it would crash.
    if max(accumulate((_DEPTH.get(letter, 0) for letter in text), initial=0)) > _MAX_DEPTH:
        raise CodecError(f"{what} is nested deeper than {_MAX_DEPTH}")
    try:
        return json.loads(text, parse_constant=_refused_constant)
    except (ValueError, RecursionError) as error:
        raise CodecError(f"{what} is not JSON: {error}") from error


def _refused_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number that can be committed")


class Profiles(Enum):
    """What a model's results promise."""

    EXACT = "exact"
    BOUNDED = "bounded"
    SIGNED = "signed"


#: Where no profile is named.
DEFAULT: Final = Profiles(DEFAULT_PROFILE.name.lower())
ProfileOption = Annotated[
    Profiles, typer.Option("--profile", help="What the model's results promise; part of its id. For files, not ids.")
]
ShapeOption = Annotated[
    list[str] | None,
    typer.Option("--shape", metavar="NAME=1,3,32", help="Shape of an input that the file leaves open; repeat."),
]


def parse_shapes(items: Sequence[str] | None) -> dict[str, tuple[int, ...]] | None:
    """Shapes by name from ``name=1,3,32``; None for none. Raises `CodecError` that says how to write it."""
    shapes: dict[str, tuple[int, ...]] = {}
    for item in items or ():
        name, mark, sizes = item.partition("=")
        parts = [part.strip() for part in sizes.split(",") if part.strip()]
        if not mark or not name or not all(part.isdecimal() for part in parts):
            raise CodecError(f"--shape {item!r}: write name=1,3,32")
        shapes[name] = tuple(int(part) for part in parts)
    return shapes or None


#: A model by id, or by the path of its .onnx file.
ModelArgument = Annotated[str, typer.Argument(metavar="MODEL", help="Path of an .onnx file, or a model id (0x…).")]
RequestArgument = Annotated[str, typer.Argument(metavar="REQUEST_ID", help="Id of the request (0x…).")]
