"""How far from its function an element may lie in profile `bounded`; `docs/arithmetic.md` says what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from sworn.model.program import Function


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """An element y of a function f is admissible where |y − f| ≤ rel · 2**−24 · |f| + 2**abs_exponent."""

    rel: int
    #: None adds nothing.
    abs_exponent: int | None


#: Float functions that are not listed give one value, as in profile `exact`. Each tolerance is at least twice the worst
#: that was measured; ELU and HARD_SIGMOID were measured for parameters of at most 1 in size.
TOLERANCES: Final[Mapping[Function, Tolerance]] = MappingProxyType(
    {
        Function.EXP: Tolerance(rel=4, abs_exponent=-147),
        Function.LOG: Tolerance(rel=16, abs_exponent=-147),
        Function.TANH: Tolerance(rel=24, abs_exponent=-140),
        Function.ERF: Tolerance(rel=6, abs_exponent=-147),
        Function.SIGMOID: Tolerance(rel=0, abs_exponent=-21),
        Function.SOFTPLUS: Tolerance(rel=16, abs_exponent=-147),
        Function.ELU: Tolerance(rel=2, abs_exponent=-22),
        Function.HARD_SIGMOID: Tolerance(rel=2, abs_exponent=-23),
        Function.SIN: Tolerance(rel=8, abs_exponent=-147),
        Function.COS: Tolerance(rel=8, abs_exponent=-147),
        Function.POW: Tolerance(rel=8, abs_exponent=-147),
    }
)
