"""What an operator shows of a model, as the bytes that `DisputeGame.disclose` takes: its record, then the part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sworn.codec.dispute_structs import DISCLOSURE_ABI, AbiWords, disclosure_at, disclosure_to_abi
from sworn.codec.structs import abi_encode, model_from_abi, model_to_abi
from sworn.errors import CodecError
from sworn.types import Disclosure, Model

MODEL_ABI: Final = "(uint16,uint8,bytes32,bytes32,bytes32,bytes32,bytes32)"
PROGRAM_DISCLOSURE_ABI: Final = "(uint32,uint32,bytes32,bytes32,bytes,bytes32[])"
#: Words of a `Model`.
_MODEL_WORDS: Final = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramDisclosure:
    """What an operator shows of a program: one step, or the interface."""

    #: Values that the program takes.
    inputs: int
    steps: int
    interface_hash: bytes
    #: Root of the tree over the steps.
    steps_tree: bytes
    #: The wanted step or the interface, encoded; empty where the step does not exist.
    content: bytes = b""
    #: The way from the wanted step to the root of its tree.
    siblings: tuple[bytes, ...] = ()


def encode_weights_disclosure(model: Model, shown: Disclosure) -> bytes:
    """A part of a model's weights. Raises `CodecError` for values that do not fit their type."""
    return abi_encode([MODEL_ABI, DISCLOSURE_ABI], [model_to_abi(model), disclosure_to_abi(shown)])


def encode_program_disclosure(model: Model, shown: ProgramDisclosure) -> bytes:
    """A part of a model's program. Raises `CodecError` for values that do not fit their type."""
    fields = (
        shown.inputs,
        shown.steps,
        shown.interface_hash,
        shown.steps_tree,
        shown.content,
        list(shown.siblings),
    )
    return abi_encode([MODEL_ABI, PROGRAM_DISCLOSURE_ABI], [model_to_abi(model), fields])


def decode_weights_disclosure(data: bytes) -> tuple[Model, Disclosure]:
    """The inverse of `encode_weights_disclosure`, read as the contract reads it. Raises `CodecError`."""
    head = AbiWords(data=data, start=0)
    return _model(head), disclosure_at(head.inner(_MODEL_WORDS))


def decode_program_disclosure(data: bytes) -> tuple[Model, ProgramDisclosure]:
    """The inverse of `encode_program_disclosure`, read as the contract reads it. Raises `CodecError`."""
    head = AbiWords(data=data, start=0)
    model, body = _model(head), head.inner(_MODEL_WORDS)
    body.require(6)
    shown = ProgramDisclosure(
        inputs=body.number(0, bits=32),
        steps=body.number(1, bits=32),
        interface_hash=body.word(2),
        steps_tree=body.word(3),
        content=body.inner(4).string(),
        siblings=body.inner(5).words(),
    )
    return model, shown


def _model(head: AbiWords) -> Model:
    head.require(_MODEL_WORDS + 1)
    version, profile = head.number(0, bits=16), head.number(1, bits=8)
    try:
        return model_from_abi((version, profile, *(head.word(index) for index in range(2, _MODEL_WORDS))))
    except CodecError as error:
        raise CodecError(f"not a disclosure: {error}") from error
