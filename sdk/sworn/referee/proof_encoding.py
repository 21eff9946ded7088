"""Fault proofs as bytes and as JSON, and back: one proof has one encoding. `docs/encoding.md` is the norm."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, Final

from sworn.codec.openings import DataOpening
from sworn.codec.trees import HASH_BYTES, chunk_count, chunk_size
from sworn.errors import ProofMalformed
from sworn.model.commitment import ProgramHead
from sworn.referee.proof import FaultKind, FaultProof, ProgramOpening, Statement, TensorsOpening
from sworn.types import Model, ModelId, Profile

PROOF_VERSION: Final = 1
_ROOT, _CHUNKS = 0, 1


def encode_proof(proof: FaultProof) -> bytes:
    """The bytes of a proof. Raises `ProofMalformed` for fields that have no encoding."""
    writer = _Writer()
    try:
        writer.pack("BB", PROOF_VERSION, proof.kind)
        writer.model(proof.model)
        statement = proof.statement
        writer.hashes(statement.model_id, statement.input_root, statement.output_root, statement.trace_root)
        writer.hashes(proof.statement_digest)
        writer.pack("IQ", proof.value, proof.index)
        writer.pack("B", proof.witness is not None)
        if proof.witness is not None:
            writer.pack("Q", proof.witness)
        writer.program(proof.program)
        writer.tensors(proof.values)
        writer.pack("B", proof.weights is not None)
        if proof.weights is not None:
            writer.tensors(proof.weights)
    except struct.error as error:
        raise ProofMalformed("a number in the proof does not fit") from error
    return bytes(writer.data)


def decode_proof(data: bytes) -> FaultProof:
    """A proof from its bytes. Raises `ProofMalformed`. Says nothing about whether it convicts."""
    reader = _Reader(data)
    version, kind = reader.unpack("BB")
    if version != PROOF_VERSION:
        raise ProofMalformed(f"version {version} of fault proofs is unknown")
    proof = FaultProof(
        kind=_member(FaultKind, kind),
        model=reader.model(),
        statement=reader.statement(),
        statement_digest=reader.take(HASH_BYTES),
        value=reader.number("I"),
        index=reader.number("Q"),
        witness=reader.number("Q") if reader.flag() else None,
        program=reader.program(),
        values=reader.tensors(),
        weights=reader.tensors() if reader.flag() else None,
    )
    if reader.left:
        raise ProofMalformed(f"{reader.left} bytes follow the proof")
    return proof


def proof_to_json(proof: FaultProof) -> dict[str, Any]:
    """A proof as JSON: its bytes, and beside them what people want to read."""
    statement = proof.statement
    return {
        "kind": proof.kind.name.lower(),
        "modelId": _hex(statement.model_id),
        "inputRoot": _hex(statement.input_root),
        "outputRoot": _hex(statement.output_root),
        "traceRoot": _hex(statement.trace_root),
        "value": proof.value,
        "index": proof.index,
        "proof": _hex(encode_proof(proof)),
    }


def proof_from_json(fields: Mapping[str, Any]) -> FaultProof:
    """What `proof_to_json` wrote. Raises `ProofMalformed`, also when the readable part says something else."""
    try:
        proof = decode_proof(bytes.fromhex(fields["proof"].removeprefix("0x")))
    except (KeyError, ValueError, AttributeError) as error:
        raise ProofMalformed(f"no fault proof in JSON: {error}") from error
    if proof_to_json(proof) != dict(fields):
        raise ProofMalformed("the fields beside the proof's bytes do not agree with them")
    return proof


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


def _member(enum: Any, value: int) -> Any:
    try:
        return enum(value)
    except ValueError as error:
        raise ProofMalformed(f"{value} is no {enum.__name__}") from error


class _Writer:
    def __init__(self) -> None:
        self.data = bytearray()

    def pack(self, form: str, *values: int) -> None:
        self.data += struct.pack(f">{form}", *values)

    def hashes(self, *hashes: bytes) -> None:
        for each in hashes:
            if len(each) != HASH_BYTES:
                raise ProofMalformed(f"a hash of {len(each)} bytes")
            self.data += each

    def blob(self, data: bytes) -> None:
        self.pack("I", len(data))
        self.data += data

    def siblings(self, siblings: tuple[bytes, ...]) -> None:
        self.pack("I", len(siblings))
        self.hashes(*siblings)

    def model(self, model: Model) -> None:
        self.pack("HB", model.version, model.profile)
        self.hashes(model.artifact_hash, model.program_root, model.weights_root, model.io_hash, model.limits_hash)

    def program(self, program: ProgramOpening) -> None:
        self.pack("II", program.head.inputs, program.head.steps)
        self.hashes(program.head.interface_hash)
        self.blob(program.interface)
        self.pack("B", program.step is not None)
        if program.step is not None:
            self.pack("I", program.step[0])
            self.blob(program.step[1])
        self.siblings(program.siblings)

    def tensors(self, opening: TensorsOpening) -> None:
        self.pack("II", opening.count, len(opening.tensors))
        for number, opened in sorted(opening.tensors.items()):
            if isinstance(opened, DataOpening):
                self.pack("IB", number, _CHUNKS)
                self.chunks(opened)
            else:
                self.pack("IB", number, _ROOT)
                self.hashes(opened)
        self.siblings(opening.siblings)

    def chunks(self, opening: DataOpening) -> None:
        self.pack("QI", opening.byte_length, len(opening.chunks))
        for index, chunk in sorted(opening.chunks.items()):
            # The size of a chunk follows from where it lies.
            if len(chunk) != chunk_size(opening.byte_length, index):
                raise ProofMalformed(f"chunk {index} has {len(chunk)} bytes")
            self.pack("I", index)
            self.data += chunk
        self.siblings(opening.siblings)


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._position

    def take(self, count: int) -> bytes:
        if count > self.left:
            raise ProofMalformed("the bytes end inside the proof")
        self._position += count
        return self._data[self._position - count : self._position]

    def unpack(self, form: str) -> tuple[int, ...]:
        return struct.unpack(f">{form}", self.take(struct.calcsize(f">{form}")))

    def number(self, form: str) -> int:
        return self.unpack(form)[0]

    def flag(self) -> bool:
        value = self.number("B")
        if value > 1:
            raise ProofMalformed(f"{value} is no truth value")
        return value == 1

    def siblings(self) -> tuple[bytes, ...]:
        joined = self.take(HASH_BYTES * self.number("I"))
        return tuple(joined[start : start + HASH_BYTES] for start in range(0, len(joined), HASH_BYTES))

    def model(self) -> Model:
        version, profile = self.unpack("HB")
        return Model(
            version=version,
            profile=_member(Profile, profile),
            artifact_hash=self.take(HASH_BYTES),
            program_root=self.take(HASH_BYTES),
            weights_root=self.take(HASH_BYTES),
            io_hash=self.take(HASH_BYTES),
            limits_hash=self.take(HASH_BYTES),
        )

    def statement(self) -> Statement:
        return Statement(
            model_id=ModelId(self.take(HASH_BYTES)),
            input_root=self.take(HASH_BYTES),
            output_root=self.take(HASH_BYTES),
            trace_root=self.take(HASH_BYTES),
        )

    def program(self) -> ProgramOpening:
        inputs, steps = self.unpack("II")
        head = ProgramHead(inputs=inputs, steps=steps, interface_hash=self.take(HASH_BYTES))
        return ProgramOpening(
            head=head,
            interface=self.take(self.number("I")),
            step=(self.number("I"), self.take(self.number("I"))) if self.flag() else None,
            siblings=self.siblings(),
        )

    def tensors(self) -> TensorsOpening:
        count, opened = self.unpack("II")
        tensors: dict[int, DataOpening | bytes] = {}
        for _ in range(opened):
            number, form = self.unpack("IB")
            _require_rising(tensors, number)
            if form not in (_ROOT, _CHUNKS):
                raise ProofMalformed(f"{form} is no form of a tensor")
            tensors[number] = self.take(HASH_BYTES) if form == _ROOT else self.chunks()
        return TensorsOpening(count=count, tensors=tensors, siblings=self.siblings())

    def chunks(self) -> DataOpening:
        byte_length, opened = self.unpack("QI")
        chunks: dict[int, bytes] = {}
        for _ in range(opened):
            index = self.number("I")
            _require_rising(chunks, index)
            if index >= chunk_count(byte_length):
                raise ProofMalformed(f"there is no chunk {index} in {byte_length} bytes")
            chunks[index] = self.take(chunk_size(byte_length, index))
        return DataOpening(byte_length=byte_length, chunks=chunks, siblings=self.siblings())


def _require_rising(known: dict[int, Any], number: int) -> None:
    # Dicts keep their order: the last is the greatest so far.
    if known and number <= next(reversed(known)):
        raise ProofMalformed("numbers in a proof have to rise")
