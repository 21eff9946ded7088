"""What an operator shows of a model: its steps, its interface, its weights."""

from __future__ import annotations

from dataclasses import astuple, replace
from typing import Any, Final

from eth_abi.abi import encode
from tests.support.court import ShownTrace, Target

from sworn import types
from sworn.codec.dispute_structs import DISCLOSURE_ABI
from sworn.codec.trees import HASH_BYTES, node_hash, tree_levels
from sworn.dispute.disclosure import show
from sworn.model.commitment import interface_hash, step_leaves
from sworn.model.encoding import encode_interface, encode_step
from sworn.types import ZERO_HASH, Part
from sworn.verification import CompiledModel

MODEL_ABI: Final = "(uint16,uint8,bytes32,bytes32,bytes32,bytes32,bytes32)"
PROGRAM_ABI: Final = "(uint32,uint32,bytes32,bytes32,bytes,bytes32[])"
#: Parts of weights, as the parts of a trace that look like them.
_LIKE: Final = {Part.WEIGHTS: Part.VALUES, Part.WEIGHT_NODES: Part.NODES, Part.WEIGHT_CHUNKS: Part.CHUNKS}


class ShownModel:
    """A compiled model, and what answers demands for parts of it."""

    def __init__(self, compiled: CompiledModel) -> None:
        self.compiled = compiled
        weights = (array.astype(array.dtype.newbyteorder(">")).tobytes() for array in compiled.subject.weights)
        self.weights = ShownTrace(tuple(weights))
        self._levels = tree_levels(step_leaves(compiled.program))

    def show(self, target: Target, *, model: types.Model | None = None, **changes: Any) -> bytes:
        """The ABI encoding of the answer to a target; ``changes`` replace fields."""
        record = astuple(model or self.compiled.model)
        part, value, level, index = target
        if part in _LIKE:
            wanted = types.Target(part=_LIKE[part], value=value, level=level, index=index)
            shown = astuple(replace(show(self.weights, wanted), **changes))
            return encode([MODEL_ABI, DISCLOSURE_ABI], [record, shown])
        return encode([MODEL_ABI, PROGRAM_ABI], [record, self._program(target, **changes)])

    def _program(self, target: Target, **changes: Any) -> tuple[Any, ...]:
        program = self.compiled.program
        interface = encode_interface(program)
        fields: dict[str, Any] = {
            "inputs": len(program.inputs),
            "steps": len(program.steps),
            "interface_hash": interface_hash(interface),
            "steps_tree": self._levels[-1],
            "content": b"",
            "siblings": [],
        }
        part, _, _, index = target
        if part is Part.INTERFACE:
            fields["content"] = interface
        elif index < len(program.steps):
            fields["content"] = encode_step(program, index)
            fields["siblings"] = self._way(index)
        return tuple((fields | changes).values())

    def _way(self, index: int) -> list[bytes]:
        siblings, missing = [], ZERO_HASH
        for height, level in enumerate(self._levels[:-1]):
            place = HASH_BYTES * ((index >> height) ^ 1)
            siblings.append(level[place : place + HASH_BYTES] or missing)
            missing = node_hash(missing, missing)
        return siblings
