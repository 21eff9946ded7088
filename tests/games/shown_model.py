"""What anyone who has a model can show of it when it is demanded: weights, steps, interface."""

from __future__ import annotations

from eth_abi.abi import encode
from tests.support.court import ShownTrace, Target
from tests.support.subjects import Array

from sworn.codec.dispute_structs import DISCLOSURE_ABI, decode_disclosure
from sworn.codec.structs import model_to_abi
from sworn.codec.trees import HASH_BYTES, depth_of, tree_levels
from sworn.model.commitment import program_head, step_leaves
from sworn.model.encoding import encode_interface, encode_step
from sworn.model.program import Program
from sworn.types import ZERO_HASH, Model, Part

_MODEL = "(uint16,uint8,bytes32,bytes32,bytes32,bytes32,bytes32)"
_PROGRAM = "(uint32,uint32,bytes32,bytes32,bytes,bytes32[])"
#: Parts of the weights stand so far behind the same parts of a trace.
_BEHIND = int(Part.WEIGHTS)


def is_of_model(part: Part) -> bool:
    """Whether a part belongs to the model, not to the trace."""
    return part >= Part.WEIGHTS


class ShownModel:
    """A model as its operator has it."""

    def __init__(self, model: Model, program: Program, weights: tuple[Array, ...]) -> None:
        self.model = model
        self.program = program
        self.weights = ShownTrace([each.astype(each.dtype.newbyteorder(">")).tobytes() for each in weights])

    def show(self, target: Target) -> bytes:
        """The ABI encoding of the answer to a demand."""
        part, value, level, index = target
        fields = model_to_abi(self.model)
        if part in (Part.STEPS, Part.INTERFACE):
            return encode([_MODEL, _PROGRAM], [fields, self._program(part, index)])
        shown = decode_disclosure(self.weights.show((Part(part - _BEHIND), value, level, index)))
        body = (
            *(shown.values, shown.values_tree, list(shown.value_siblings), shown.length, shown.chunks_tree),
            *(list(shown.nodes), shown.chunks, list(shown.siblings)),
        )
        return encode([_MODEL, DISCLOSURE_ABI], [fields, body])

    def _program(self, part: Part, index: int) -> tuple[object, ...]:
        program, head = self.program, program_head(self.program)
        count = len(program.steps)
        levels = tree_levels(step_leaves(program))
        content, siblings = b"", list[bytes]()
        if part is Part.INTERFACE:
            content = encode_interface(program)
        elif index < count:
            content, siblings = encode_step(program, index), _way(levels, index, depth_of(count))
        tree = levels[-1] or ZERO_HASH
        return head.inputs, head.steps, head.interface_hash, tree, content, siblings


def _way(levels: tuple[bytes, ...] | list[bytes], index: int, depth: int) -> list[bytes]:
    missing, found = ZERO_HASH, []
    for level in range(depth):
        place = index >> level ^ 1
        row = levels[level]
        found.append(row[HASH_BYTES * place : HASH_BYTES * (place + 1)] or missing)
        missing = tree_levels(missing * 2)[-1]
    return found
