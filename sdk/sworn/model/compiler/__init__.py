"""From ONNX to the canonical program.

::

    admission → graph → lowerings, one per operator → builder (draft) → assembly (canonical program)

A lowering turns one node into steps. It is a function of a `Call` and returns its output `Value`s; it computes shapes
itself, since ONNX's shape inference has no say in what a model means. To add an operator:

1. Take the module of its family (or add one, and name it in `registry`).
2. Write ``@lowers("Operator", 13, 21)`` over ``def operator(call: Call) -> Value``; list each version that you have
   read, a version being the operator set in which the operator last changed. Other domains: ``domain="ai.onnx.ml"``.
3. Get inputs with ``call.value(i)``, ``call.optional(i)``, constants with ``call.array(i, "the axes")``, attributes
   with ``call.integer``, ``call.numbers``, … Raise ``call.refused("why")`` for what cannot be lowered.
4. Write steps with the functions of `steps` (`pointwise`, `contract`, `total`, `extreme`, `concatenated`) or, for
   anything else, with ``call.build.emit``. Rearrangements are functions of `values`; they cost nothing. Ask for
   ``call.build.materialised`` only where elements must lie side by side.
5. Constants need no care: a step that reads constants only is run at once, exactly, and becomes a constant.

Several outputs are returned as a tuple, with None for one that is not supported: it is refused when something reads it.
"""

from __future__ import annotations

from sworn.model.compiler.lowering import lower

__all__ = ["lower"]
