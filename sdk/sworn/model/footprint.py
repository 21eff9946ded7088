"""How large a fault proof of each step can get, what its openings take at most, and about how much gas it costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Final

from sworn.codec.trees import CHUNK_BYTES, HASH_BYTES, chunk_count, depth_of
from sworn.model.commitment import expected_bytes
from sworn.model.encoding import encode_step, operands
from sworn.model.program import Contract, Copy, Extremum, Operand, Program, Rank, Reduction, Step, TensorType, Tree
from sworn.model.referee_gas import referee_gas

#: Version, model, statement and their like.
_HEAD_BYTES: Final = 512
#: Elements that one witness looks at, besides what is claimed.
_WITNESSED: Final = 2

#: Of a transaction, and of one of its bytes that is not zero: a floor of 10 per token, or 4 and execution, at four
#: tokens a byte (EIP-7623).
_TRANSACTION_GAS: Final = 21_000
_FLOOR_GAS, _BYTE_GAS = 40, 16
#: What the call takes besides the proof: a result, a request, a salt and offsets.
_CALL_BYTES: Final = 1_400
#: Of what the game does besides asking the referee: the verdict, slashing, and sharing out.
_GAME_GAS: Final = 290_000
# Of opening: a tensor, each of its chunks, each hash on the way up, and each byte that is copied and hashed.
_TENSOR_GAS, _CHUNK_GAS, _NODE_GAS, _PROOF_BYTE_GAS = 6_000, 1_000, 500, 4
#: Of each byte of a step: most is read word by word.
_STEP_BYTE_GAS: Final = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """What the proof of one element of a step needs, at most."""

    #: Operand elements that the referee reads.
    elements: int
    chunks: int
    proof_bytes: int
    #: Of the transaction that carries the proof, the verdict included: an estimate, as if no byte were zero.
    gas: int


def footprint(program: Program, number: int) -> Footprint:
    """An upper bound for any element of a step, openings included."""
    step = program.steps[number]
    opened = [(step.output, 1, 1), *_opened(program, step)]
    step_bytes = len(encode_step(program, number))
    size = _HEAD_BYTES + step_bytes + HASH_BYTES * depth_of(len(program.steps))
    chunks = hashes = 0
    for tensor, count, runs in opened:
        within = min(count, chunk_count(expected_bytes(tensor)))
        chunks += within
        # A run of chunks takes at most two hashes on each level.
        siblings = 2 * runs * depth_of(chunk_count(expected_bytes(tensor)))
        siblings += depth_of(len(program.inputs) + len(program.steps)) + depth_of(len(program.weights))
        hashes += siblings
        size += within * CHUNK_BYTES + HASH_BYTES * siblings
    opening = _TENSOR_GAS * len(opened) + _CHUNK_GAS * chunks + _NODE_GAS * hashes + _PROOF_BYTE_GAS * size
    judging = referee_gas(program, step, chunks=chunks) + _STEP_BYTE_GAS * step_bytes
    calldata = size + _CALL_BYTES
    gas = _TRANSACTION_GAS + max(_FLOOR_GAS * calldata, _BYTE_GAS * calldata + _GAME_GAS + opening + judging)
    return Footprint(elements=_elements(step), chunks=chunks, proof_bytes=size, gas=gas)


def _elements(step: Step) -> int:
    match step.body:
        case Contract() as body:
            sides = 1 if body.right is None else 2
            return sides * prod(each.extent for each in body.reductions) + (body.bias is not None)
        case Extremum():
            return _WITNESSED
        case Rank() as body:
            return body.extent
        case Tree() | Copy():
            return 1
        case _:
            return len(operands(step.body))


def _opened(program: Program, step: Step) -> list[tuple[TensorType, int, int]]:
    """By operand, its type, and at most how many chunks in how many runs are opened."""
    match step.body:
        case Contract() as body:
            left = _swept(program, body.left, body.reductions, [each.left_stride for each in body.reductions])
            found = [left]
            if body.right is not None:
                strides = [each.right_stride for each in body.reductions]
                found.append(_swept(program, body.right, body.reductions, strides))
            return found if body.bias is None else [*found, (program.type_of(body.bias), 1, 1)]
        case Rank() as body:
            row = (Reduction(extent=body.extent, left_stride=body.stride),)
            return [_swept(program, body.source, row, [body.stride])]
        case Extremum() as body:
            return [(program.type_of(body.source), _WITNESSED, _WITNESSED)]
        case Tree() as body:
            tables = [(program.weights[body.nodes], 2, 1), (program.weights[body.roots], 1, 1)]
            return [(program.type_of(body.features), 1, 1), *tables]
        case Copy() as body:
            types = [program.type_of(piece.source) for piece in body.pieces]
            return [(max(types, key=expected_bytes), 1, 1)] if types else []
        case _:
            return [(program.type_of(operand), 1, 1) for operand in operands(step.body)]


def _swept(
    program: Program, operand: Operand, reductions: Sequence[Reduction], strides: Sequence[int]
) -> tuple[TensorType, int, int]:
    tensor = program.type_of(operand)
    size = tensor.dtype.itemsize
    span, chunks, runs = 1, 1, 1
    for stride, extent in sorted((abs(stride), each.extent) for stride, each in zip(strides, reductions, strict=True)):
        span += stride * (extent - 1)
        # Either every step along the axis opens its own chunks, or all that lies between is opened.
        apart, together = chunks * extent, chunk_count(span * size) + 1
        chunks, runs = (apart, runs * extent) if apart < together else (together, 1)
    return tensor, chunks, runs
