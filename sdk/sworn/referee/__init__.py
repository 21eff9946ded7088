"""The scalar referee: recomputes one element of one step, in integers alone.

`check` judges a fault from its proof alone; `element` computes one element of a step; `unary.round_function` is the
slow path of engines that meet an element they cannot decide. Definitions: `docs/arithmetic.md`.
"""

from __future__ import annotations

from sworn.referee.elements import Read, TypeOf
from sworn.referee.proof import FaultKind, FaultProof, Statement, check
from sworn.referee.proof_encoding import decode_proof, encode_proof, proof_from_json, proof_to_json
from sworn.referee.rules import element, step_element
from sworn.referee.unary import round_function

__all__ = [
    "FaultKind",
    "FaultProof",
    "Read",
    "Statement",
    "TypeOf",
    "check",
    "decode_proof",
    "element",
    "encode_proof",
    "proof_from_json",
    "proof_to_json",
    "round_function",
    "step_element",
]
