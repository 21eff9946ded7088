"""The scalar referee: recomputes one element of one step, in integers alone.

`element` is the judge; `unary.round_function` is the slow path of engines that meet an element they cannot decide.
Definitions: `docs/arithmetic.md`.
"""

from __future__ import annotations

from sworn.referee.elements import Read, TypeOf
from sworn.referee.rules import element, step_element
from sworn.referee.unary import round_function

__all__ = ["Read", "TypeOf", "element", "round_function", "step_element"]
