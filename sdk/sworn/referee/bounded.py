"""Which bits an element may have in profile `bounded`: every value within the bound of its rule, and no other.

All bounds are compared as integers, never rounded: every implementation gives the same verdict.
"""

from __future__ import annotations

from sworn.model.program import Contract, Pointwise, Step
from sworn.referee.contraction import FloatTerms, float_bounds, longest_sum
from sworn.referee.elements import Element, Read, TypeOf
from sworn.referee.floats import LEAST_EXPONENT, SIGN, SIGNIFICAND_BITS, decode, is_infinite, is_nan, order_key
from sworn.referee.nearness import admits_function
from sworn.referee.rules import call_of, place_of, step_element
from sworn.referee.tolerances import TOLERANCES
from sworn.types import DType

#: κ is the number of all terms and this, more where the sum is divided.
_KAPPA, _KAPPA_OF_MEANS = 1, 3


def admits(step: Step, type_of: TypeOf, index: int, read: Read, *, claimed: int) -> bool:
    """Whether a step may have written ``claimed`` as its element at a flat index.

    ``read(space, tensor, flat index)`` gives the bits of an element, right-aligned. Raises `RunNotFinite`,
    `DivisionByZero`, `CastOutOfRange` or `IndexOutOfRange` where the element has no value, `ModelMalformed` for a step
    that contradicts itself, `ConfigurationError` for an element that does not exist.
    """
    body, output = step.body, step.output.dtype
    if output is not DType.FLOAT32 or not isinstance(body, Contract | Pointwise):
        return step_element(step, type_of, index, read) == claimed
    place = place_of(step, type_of, index, read)
    if isinstance(body, Contract):
        return _admits_sum(place, body, claimed)
    if body.function not in TOLERANCES:
        return step_element(step, type_of, index, read) == claimed
    return admits_function(call_of(place, body), TOLERANCES[body.function], claimed)


def kappa_of(body: Contract) -> int:
    """κ of a float contraction: no order of additions, with or without fused ones, errs by more units of its sizes.

    Raises `ModelMalformed` for one that is too long.
    """
    return longest_sum(body) + (_KAPPA if body.divisor == 1 else _KAPPA_OF_MEANS)


def _admits_sum(place: Element, body: Contract, claimed: int) -> bool:
    """clamp(c − tol) ≤ y ≤ clamp(c + tol) over the reals, for the exact sum c and tol = κ · (2**−24 · S + 2**−149)."""
    terms = FloatTerms.of(place, body)
    if is_nan(claimed) or is_infinite(claimed) or claimed == SIGN:
        return False
    kappa = kappa_of(body)
    (total, p), (size, q) = terms.total(), terms.sizes().total()
    lower, upper = map(order_key, float_bounds(body))
    # In units of 2**unit / divisor everything below is an integer.
    unit = min(p, q - SIGNIFICAND_BITS, LEAST_EXPONENT)
    significand, exponent = decode(claimed)
    y = terms.divisor * (significand << exponent - unit)
    centre = total << p - unit
    reach = kappa * ((size << q - SIGNIFICAND_BITS - unit) + (terms.divisor << LEAST_EXPONENT - unit))
    # min(max(v, lower), upper) against y, for both ends of what the sum may be: where the bounds cross, upper wins.
    key = order_key(claimed)
    reaches_down = (centre - reach <= y and lower <= key) or upper <= key
    return reaches_down and key <= upper and (y <= centre + reach or key <= lower)
