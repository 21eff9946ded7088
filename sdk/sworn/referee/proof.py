"""Fault proofs: everything that shows one element of a run to be wrong, and nothing else.

A proof needs no trust and no other data. Whoever checks it compares only `FaultProof.statement` with what the
operator signed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from sworn.codec.hashing import model_id
from sworn.codec.openings import DataOpening, opened_root
from sworn.codec.trees import HASH_BYTES, keccak
from sworn.errors import CodecError, ConfigurationError, EngineError, ModelError, ProofMalformed
from sworn.model.commitment import (
    ProgramHead,
    expected_bytes,
    interface_hash,
    linked_root,
    seal_trace,
    seal_weights,
    step_leaf,
)
from sworn.model.encoding import Interface, StepRecord, decode_interface, decode_step
from sworn.model.program import Rank, Rule, Space, Step, TensorType
from sworn.model.typing_rules import canonical
from sworn.model.validation import MAX_ROW
from sworn.referee.bounded import admits
from sworn.referee.elements import Read, TypeOf
from sworn.referee.rules import step_element
from sworn.referee.witness import refutes
from sworn.types import DType, Model, ModelId, Profile

_STATEMENT: Final = b"\x0b"
_INFINITY: Final = 0x7F800000
#: Profiles whose elements can be judged.
_JUDGED: Final = frozenset({Profile.EXACT, Profile.BOUNDED})
_CERTIFICATES: Final = frozenset({Rule.EXTREMUM, Rule.TREE})
# Beside our own: a step that nobody validated may name axes that are not there, a proof numbers that have no encoding.
_REJECTIONS: Final = (CodecError, ModelError, ConfigurationError, LookupError, ArithmeticError)


class FaultKind(IntEnum):
    """What is wrong."""

    #: An element is not what its step computes from the elements before it, not within its bound (profile `bounded`),
    #: or has no value at all.
    ELEMENT = 1
    #: A model input or output holds what no payload may hold: NaN, an infinity, −0, a bool other than 0 and 1.
    PORT = 2
    #: A tensor has not as many bytes as its type.
    LENGTH = 3
    #: The trace has not as many tensors as the program has values.
    COUNT = 4
    #: The model inputs in the trace are not those that the statement is about.
    INPUT_LINK = 5
    #: The model outputs in the trace are not those that the statement gives.
    OUTPUT_LINK = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What was claimed of a run: the part of a `Result` that a proof can contradict."""

    model_id: ModelId
    input_root: bytes
    output_root: bytes
    trace_root: bytes

    def digest(self) -> bytes:
        """keccak256 over the fields."""
        return keccak(_STATEMENT + self.model_id + self.input_root + self.output_root + self.trace_root)


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorsOpening:
    """Some tensors under a weights root or a trace root: opened chunks, or no more than the data root."""

    #: Number of all tensors under the root.
    count: int
    tensors: Mapping[int, DataOpening | bytes]
    siblings: tuple[bytes, ...]

    def root(self, seal: Callable[[int, bytes], bytes]) -> bytes:
        """The root that the tensors lead to. Raises `CodecError` where they lead nowhere."""
        leaves = {
            number: opened.data_root() if isinstance(opened, DataOpening) else opened
            for number, opened in self.tensors.items()
        }
        return seal(self.count, opened_root(self.count, leaves, self.siblings))

    def data(self, tensor: int) -> DataOpening:
        """An opened tensor. Raises `ProofMalformed` when it is not."""
        opened = self.tensors.get(tensor)
        if not isinstance(opened, DataOpening):
            raise ProofMalformed(f"tensor {tensor} is not opened")
        return opened

    def roots(self, tensors: range | tuple[int, ...]) -> list[bytes]:
        """Data roots of tensors that are not opened further. Raises `ProofMalformed` when one is missing."""
        found = [self.tensors.get(tensor) for tensor in tensors]
        roots = [root for root in found if isinstance(root, bytes)]
        if len(roots) != len(found):
            raise ProofMalformed("a data root is missing")
        return roots


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramOpening:
    """Of a program, the head and what a proof needs: one step with its siblings, the interface, or both."""

    head: ProgramHead
    #: Empty when not needed.
    interface: bytes
    #: Number and bytes of the step; None when not needed.
    step: tuple[int, bytes] | None
    siblings: tuple[bytes, ...]

    def root(self) -> bytes:
        """The program root that they lead to. Raises `CodecError` where they lead nowhere."""
        if self.interface and interface_hash(self.interface) != self.head.interface_hash:
            raise ProofMalformed("the interface is another program's")
        leaves = {} if self.step is None else {self.step[0]: step_leaf(self.step[1])}
        return self.head.root(opened_root(self.head.steps, leaves, self.siblings))

    def read_interface(self) -> Interface:
        """The program without its steps. Raises `ProofMalformed` when it is not there."""
        if not self.interface:
            raise ProofMalformed("the interface is missing")
        return decode_interface(self.interface)

    def read_step(self) -> tuple[int, StepRecord]:
        """The value that the opened step writes, and the step. Raises `ProofMalformed` when there is none."""
        if self.step is None:
            raise ProofMalformed("the step is missing")
        return self.head.inputs + self.step[0], decode_step(self.step[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultProof:
    """One fault of one statement, with all openings."""

    kind: FaultKind
    statement: Statement
    statement_digest: bytes
    model: Model
    #: The value at fault: model inputs first, then one per step. 0 where the fault is no tensor's.
    value: int
    #: Flat index of the element at fault; 0 where the fault is no element's.
    index: int
    #: Position of a better element, or node above a wrong leaf; None where the element is computed as a whole.
    witness: int | None
    program: ProgramOpening
    values: TensorsOpening
    #: None where no weights are read.
    weights: TensorsOpening | None


def check(proof: FaultProof) -> bool:
    """Whether a proof convicts: everything in it belongs together, and what was stated is wrong.

    False also for proofs that are malformed in any way. Uses integers only.
    """
    try:
        _check_roots(proof)
        return _JUDGES[proof.kind](proof)
    except _REJECTIONS:
        return False


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ProofMalformed(message)


def _check_roots(proof: FaultProof) -> None:
    statement, model = proof.statement, proof.model
    hashes = statement.model_id, statement.input_root, statement.output_root, statement.trace_root
    _require(all(len(each) == HASH_BYTES for each in (*hashes, proof.program.head.interface_hash)), "a short hash")
    _require(proof.statement_digest == statement.digest(), "the digest is another statement's")
    _require(model_id(model) == statement.model_id, "the model is not the statement's")
    _require(model.profile in _JUDGED, "the profile promises nothing about elements")
    _require(proof.program.root() == model.program_root, "the program is not the model's")
    _require(proof.values.root(seal_trace) == statement.trace_root, "the tensors are not the trace's")
    if proof.weights is not None:
        _require(proof.weights.root(seal_weights) == model.weights_root, "the weights are not the model's")


def _check_unused(proof: FaultProof, *, step: bool, interface: bool, element: bool) -> None:
    """Nothing may stand in a proof that does not bear on it."""
    _require((proof.program.step is not None) == step, "a step that is not needed, or none")
    _require(bool(proof.program.interface) == interface, "an interface that is not needed, or none")
    _require(element or proof.index == 0, "an index of no element")
    if proof.kind is not FaultKind.ELEMENT:
        _require(proof.witness is None and proof.weights is None, "a witness or weights that are not needed")


def _element(proof: FaultProof) -> bool:
    _check_unused(proof, step=True, interface=False, element=True)
    value, record = proof.program.read_step()
    step, head = record.step, proof.program.head
    _require(proof.value == value, "the step writes another value")
    _require(proof.values.count == head.inputs + head.steps, "the trace has another number of tensors")
    _require(0 <= proof.index < step.output.elements, "an index outside of the tensor")
    _require(not isinstance(step.body, Rank) or step.body.extent <= MAX_ROW, "a row that is too long")
    claimed = _bits(proof.values, value, step.output, proof.index)
    if not canonical(step.output.dtype, claimed):
        _require(proof.witness is None and proof.weights is None, "operands that are not needed")
        return True
    _require((proof.witness is not None) == (step.rule in _CERTIFICATES), "a witness that is not needed, or none")

    def type_of(space: Space, tensor: int) -> TensorType:
        found = record.types.get((space, tensor))
        if found is None:
            raise ProofMalformed(f"the step does not read {space.name.lower()} {tensor}")
        return found

    def read(space: Space, tensor: int, index: int) -> int:
        opening = proof.values if space is Space.VALUE else proof.weights
        if opening is None:
            raise ProofMalformed("the weights are missing")
        return _bits(opening, tensor, type_of(space, tensor), index)

    try:
        if proof.witness is not None:
            return refutes(step, type_of, proof.index, proof.witness, claimed=claimed, read=read)
        return not agrees(proof.model.profile, step, type_of, proof.index, read, claimed=claimed)
    except EngineError:
        # The operands give no value, and yet one was stated.
        return True


def agrees(profile: Profile, step: Step, type_of: TypeOf, index: int, read: Read, *, claimed: int) -> bool:
    """Whether a step may have written ``claimed`` as an element, in profile ``exact`` or ``bounded``.

    Raises as `step_element` and `admits` do.
    """
    if profile is Profile.BOUNDED:
        return admits(step, type_of, index, read, claimed=claimed)
    return step_element(step, type_of, index, read) == claimed


def _port(proof: FaultProof) -> bool:
    _check_unused(proof, step=False, interface=True, element=True)
    interface = proof.program.read_interface()
    ports = dict(enumerate(interface.inputs)) | dict(interface.outputs)
    tensor = ports.get(proof.value)
    if tensor is None:
        raise ProofMalformed(f"value {proof.value} is neither input nor output")
    _require(0 <= proof.index < tensor.elements, "an index outside of the tensor")
    return not payable(tensor.dtype, _bits(proof.values, proof.value, tensor, proof.index))


def payable(dtype: DType, bits: int) -> bool:
    """Whether bits may stand in a payload: what is canonical, without infinities."""
    return canonical(dtype, bits) and not (dtype is DType.FLOAT32 and bits & 0x7FFFFFFF == _INFINITY)


def _length(proof: FaultProof) -> bool:
    given = proof.value < proof.program.head.inputs
    _check_unused(proof, step=not given, interface=given, element=False)
    if given:
        tensor = proof.program.read_interface().inputs[proof.value]
    else:
        value, record = proof.program.read_step()
        _require(value == proof.value, "the step writes another value")
        tensor = record.step.output
    return proof.values.data(proof.value).byte_length != expected_bytes(tensor)


def _count(proof: FaultProof) -> bool:
    _check_unused(proof, step=False, interface=False, element=False)
    _require(proof.value == 0 and not proof.values.tensors, "tensors that do not bear on their number")
    return proof.values.count != proof.program.head.inputs + proof.program.head.steps


def _input_link(proof: FaultProof) -> bool:
    inputs = proof.program.read_interface().inputs
    return _unlinked(proof, tuple(range(len(inputs))), inputs) != proof.statement.input_root


def _output_link(proof: FaultProof) -> bool:
    outputs = proof.program.read_interface().outputs
    values, types = tuple(value for value, _ in outputs), tuple(seen for _, seen in outputs)
    return _unlinked(proof, values, types) != proof.statement.output_root


def _unlinked(proof: FaultProof, values: tuple[int, ...], types: tuple[TensorType, ...]) -> bytes:
    _check_unused(proof, step=False, interface=True, element=False)
    _require(proof.value == 0 and proof.values.tensors.keys() == set(values), "tensors that do not bear on the link")
    return linked_root(types, proof.values.roots(values))


def _bits(opening: TensorsOpening, tensor: int, kind: TensorType, index: int) -> int:
    data = opening.data(tensor)
    _require(data.byte_length == expected_bytes(kind), f"tensor {tensor} has the wrong length")
    size = kind.dtype.itemsize
    return int.from_bytes(data.read(index * size, (index + 1) * size))


_JUDGES: Final[Mapping[FaultKind, Callable[[FaultProof], bool]]] = {
    FaultKind.ELEMENT: _element,
    FaultKind.PORT: _port,
    FaultKind.LENGTH: _length,
    FaultKind.COUNT: _count,
    FaultKind.INPUT_LINK: _input_link,
    FaultKind.OUTPUT_LINK: _output_link,
}
