"""Golden vectors of the bounds in profile `bounded`: other languages read the same file.

``python tests/unit/test_bound_vectors.py`` rewrites the file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.bounds import LARGEST, admitted, bits_of, key_of
from tests.support.exact_reals import float_bits
from tests.support.programs import program, step, tensor, unary, value
from tests.support.refereeing import refereed

from sworn.model.program import Contract, Function, Operand, Program, Reduction
from sworn.referee.tolerances import TOLERANCES

FILE = Path(__file__).parents[1] / "snapshots" / "bound_vectors.json"
#: Arguments of functions: ordinary, small, subnormal, large, beyond where results saturate.
ARGUMENTS = (0.5, -1.5, 2.75, -17.25, 88.7, 0.0, 1e-3, -1e-20, 1e-40, 3e38, 1.0, -100.0)
PARAMETERS = {
    Function.ELU: ((1.0, 0.0), (0.25, 0.0)),
    Function.HARD_SIGMOID: ((0.2, 0.5), (1.0, -0.5)),
    Function.POW: ((-1.0, 0.0), (2.0, 0.0), (0.5, 0.0), (0.75, 0.0)),
}
#: Left, right, bias, divisor, lower, upper.
SUMS: tuple[tuple[tuple[float, ...], tuple[float, ...], float, int, float | None, float | None], ...] = (
    ((1.5, -2.25, 3.0), (0.5, 0.25, -1.0), 0.125, 1, None, None),
    ((1.0, 1.0), (1.0, -1.0), 0.0, 1, None, None),
    ((1.0, 1.0), (1.0, -1.0), 0.0, 1, 0.0, None),
    ((3.0, 5.0, 9.0), (0.25, 0.5, 1.0), -1.0, 7, None, None),
    ((3.0, 5.0), (1.0, 1.0), 0.0, 1, 0.0, 6.0),
    ((1e-40, 2e-40), (0.5, 0.25), 0.0, 1, None, None),
    ((2.0**100,), (2.0**28,), 0.0, 1, None, None),
    ((7.0,), (0.5,), 0.0, 3, None, None),
)


Case = tuple[dict[str, Any], Program, list[list[int]]]


def function_cases() -> Iterator[Case]:
    """Each function with parameters and operands."""
    for function in sorted(TOLERANCES):
        for alpha, beta in PARAMETERS.get(function, ((0.0, 0.0),)):
            alpha, beta = float(np.float32(alpha)), float(np.float32(beta))
            for argument in ARGUMENTS:
                bits = float_bits(float(np.float32(argument)))
                named = {"function": int(function), "alpha": word(float_bits(alpha)), "beta": word(float_bits(beta))}
                yield named, unary(function, 1, alpha=alpha, beta=beta), [[bits]]


def sum_cases() -> Iterator[Case]:
    """Contractions of one element."""
    for left, right, bias, divisor, lower, upper in SUMS:
        terms = Reduction(extent=len(left), left_stride=1, right_stride=1)
        operands: list[Operand] = [value(number, (0,)) for number in range(3)]
        body = Contract(
            left=operands[0],
            right=operands[1],
            bias=operands[2],
            reductions=(terms,),
            divisor=divisor,
            lower=lower,
            upper=upper,
        )
        made = program([tensor((len(left),)), tensor((len(right),)), tensor((1,))], (step(body, (1,)),))
        rows = [[float_bits(float(np.float32(each))) for each in row] for row in (left, right, (bias,))]
        clamp = {
            name: None if limit is None else word(float_bits(limit))
            for name, limit in (("lower", lower), ("upper", upper))
        }
        yield {"divisor": divisor, **clamp}, made, rows


def limits(made: Program, rows: list[list[int]]) -> dict[str, str | None]:
    """The least and the greatest right claim, infinities among them; None where the element has no value."""
    arrays = [np.array(row, np.uint32).view(np.float32) for row in rows]
    (exact,) = refereed(made, arrays)
    if not isinstance(exact, int):
        return {"least": None, "greatest": None}
    start = min(abs(key_of(exact)), LARGEST) * (1 if key_of(exact) > 0 else -1)
    if not admitted(made, arrays, (), 0, bits_of(start)):
        return {"least": word(exact), "greatest": word(exact)}
    found = []
    for way in (-1, 1):
        # Beyond the exact value claims are right up to one place, and wrong from there on.
        near = start
        far = way * (LARGEST + 1)
        while abs(far - near) > 1:
            middle = (near + far) // 2
            near, far = (middle, far) if admitted(made, arrays, (), 0, bits_of(middle)) else (near, middle)
        found.append(far if admitted(made, arrays, (), 0, bits_of(far)) else near)
    return {"least": word(bits_of(found[0])), "greatest": word(bits_of(found[1]))}


def word(bits: int) -> str:
    """Bits as they are written."""
    return f"0x{bits:08x}"


def vectors() -> dict[str, Any]:
    """Everything that the file holds."""
    functions = [
        {**named, "operands": [word(bits) for (bits,) in operands], **limits(made, operands)}
        for named, made, operands in function_cases()
    ]
    sums = [
        {
            **dict(zip(("left", "right", "bias"), [[word(bits) for bits in row] for row in rows], strict=True)),
            **named,
            **limits(made, rows),
        }
        for named, made, rows in sum_cases()
    ]
    return {"functions": functions, "sums": sums}


def stored() -> dict[str, Any]:
    """What the file holds."""
    content: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return content


def test_bounds_match_the_file() -> None:
    """The least and the greatest right claims are the same on every machine."""
    assert vectors() == stored()


@pytest.mark.parametrize("kind", ["functions", "sums"])
def test_bounds_in_the_file_are_the_last_right_claims(kind: str) -> None:
    """What is in the file is right, and what lies beyond it is not."""
    cases = function_cases() if kind == "functions" else sum_cases()
    for vector, (_, made, rows) in zip(stored()[kind], cases, strict=True):
        if vector["least"] is None:
            continue
        arrays = [np.array(row, np.uint32).view(np.float32) for row in rows]
        least, greatest = (key_of(int(vector[name], 16)) for name in ("least", "greatest"))
        right = {key: admitted(made, arrays, (), 0, bits_of(key)) for key in (least - 1, least, greatest, greatest + 1)}
        assert right == {least - 1: False, greatest + 1: False, least: True, greatest: True}, vector


if __name__ == "__main__":
    FILE.write_text(json.dumps(vectors(), indent=1) + "\n", encoding="utf-8")
