"""The referee's contracts in a fast EVM inside the process, and the Python referee's answer to the same question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
import pyrevm
from eth_abi.abi import encode as abi_encode
from eth_utils.crypto import keccak
from numpy.typing import NDArray
from tests.support.artifacts import artifacts, decode_revert

from sworn.codec.trees import CHUNK_BYTES
from sworn.errors import CodecError, ConfigurationError, EngineError, ModelError
from sworn.model.encoding import decode_step, encode_step
from sworn.model.program import Function, Program, Rank, Rule, Space, TensorType
from sworn.model.typing_rules import canonical
from sworn.model.validation import MAX_ROW
from sworn.referee import FaultProof, element, encode_proof
from sworn.referee.proof import agrees
from sworn.referee.witness import refutes
from sworn.types import Profile

Array = NDArray[Any]

#: Functions that are judged by series; as `isReal` in contracts/referee/FunctionNumber.sol.
_REAL: Final = frozenset(
    {
        *(Function.POW, Function.EXP, Function.LOG, Function.TANH, Function.SIGMOID, Function.ERF, Function.SOFTPLUS),
        *(Function.ELU, Function.SIN, Function.COS),
    }
)
RULES: Final = (
    "SelectionRule",
    "FloatContractionRule",
    "IntegerContractionRule",
    "PointwiseRule",
    "RealFunctionRule",
)
_CLAIM: Final = "(bool,uint256,uint256,uint256,bool,uint256,uint256,uint256[],bool,uint256,uint256[])"
_REFUTES: Final = keccak(text=f"refutes({_CLAIM},bytes)")[:4]
_CHECK: Final = keccak(text="check(bytes32,bytes)")[:4]
_CALLER: Final = "0x" + "11" * 20
_GAS: Final = 1 << 30
#: Where the two lists stand among the fields of a claim.
_COORDINATES, _OPENED = 7, 10
_REJECTIONS: Final = (CodecError, ModelError, ConfigurationError, LookupError, ArithmeticError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a contract says: True or False, or the custom error with which it reverts."""

    faulty: bool | None
    error: str = ""
    #: Gas of the execution, without what a transaction and its calldata cost.
    gas: int = 0


class RefereeChain:
    """The deployed referee."""

    def __init__(self) -> None:
        self._evm = pyrevm.EVM()
        self._rules = {name: self._deploy(name) for name in RULES}
        self._referee = self._deploy("Referee", *self._rules.values())

    def check(self, proof: FaultProof | bytes, statement: bytes | None = None, *, gas: int = _GAS) -> Verdict:
        """The verdict on a whole proof, held against its own statement unless told."""
        if isinstance(proof, FaultProof):
            statement = proof.statement_digest if statement is None else statement
            proof = encode_proof(proof)
        assert statement is not None
        return self._call(self._referee, _CHECK + abi_encode(["bytes32", "bytes"], [statement, proof]), gas)

    def refutes(self, rule: str, claim: Sequence[Any], proof: bytes) -> Verdict:
        """What one rule says of a claim, as the referee would ask it."""
        return self._call(self._rules[rule], _REFUTES + _claim_to_abi(claim, proof))

    def _call(self, address: str, data: bytes, gas: int = _GAS) -> Verdict:
        try:
            answer = self._evm.message_call(_CALLER, address, data, gas=gas, is_static=True)
        except RuntimeError as error:
            return Verdict(faulty=None, error=_reason(str(error)), gas=self._gas(data))
        return Verdict(faulty=_bool_of(bytes(answer)), gas=self._gas(data))

    def _gas(self, data: bytes) -> int:
        # There is no result where the gas did not suffice to start.
        return self._evm.result.gas_used - intrinsic_gas(data) if self._evm.result else 0

    def _deploy(self, name: str, *arguments: str) -> str:
        code = bytes.fromhex(artifacts()[name].bytecode.removeprefix("0x"))
        return self._evm.deploy(_CALLER, code + abi_encode(["address"] * len(arguments), arguments))


@cache
def referee_chain() -> RefereeChain:
    """One for all tests: calls leave nothing behind."""
    return RefereeChain()


def _claim_to_abi(claim: Sequence[Any], proof: bytes) -> bytes:
    """What `abi.encode` gives for a claim and its proof; by hand, as it is done millions of times."""
    coordinates, opened = claim[_COORDINATES], claim[_OPENED]
    words = [int(field) if not isinstance(field, list) else 0 for field in claim]
    words[_COORDINATES] = 32 * len(claim)
    words[_OPENED] = words[_COORDINATES] + 32 + 32 * len(coordinates)
    words += [len(coordinates), *coordinates, len(opened), *opened]
    head = [64, 64 + 32 * len(words), *words, len(proof)]
    return b"".join(word.to_bytes(32) for word in head) + proof + bytes(-len(proof) % 32)


def _bool_of(answer: bytes) -> bool:
    word = int.from_bytes(answer)
    assert len(answer) == 32 and word <= 1
    return word == 1


def intrinsic_gas(data: bytes) -> int:
    """What a transaction with this calldata costs before it executes anything, by EIP-2028."""
    return 21_000 + 4 * data.count(0) + 16 * (len(data) - data.count(0))


def _reason(message: str) -> str:
    """The name of the custom error in what the EVM says, or the message itself."""
    _, found, rest = message.partition("output: 0x")
    return decode_revert(bytes.fromhex(rest.partition(" ")[0])).name if found else message


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One claim about one element of the first step of a program that reads inputs and weights alone."""

    program: Program
    inputs: Sequence[Array]
    weights: Sequence[Array]
    index: int
    claimed: int
    witness: int | None = None
    bounded: bool = False

    def encoded(self) -> bytes:
        """The bytes of the step: what both referees read."""
        return encode_step(self.program, 0)

    def asked(self, encoded: bytes | None = None) -> Verdict:
        """What the rule's contract says; the step goes there in its own bytes, the tensors wholly opened."""
        step = self.program.steps[0]
        encoded = self.encoded() if encoded is None else encoded
        opened, data = [], bytearray(encoded)
        for space, arrays in enumerate((self.inputs, self.weights)):
            for number, array in enumerate(arrays):
                raw = array.astype(array.dtype.newbyteorder(">")).tobytes()
                chunks = [raw[start : start + CHUNK_BYTES] for start in range(0, len(raw), CHUNK_BYTES)]
                opened.append((space << 32 | number) << 160 | len(raw) << 96 | len(chunks) << 64 | len(data))
                data += b"".join(place.to_bytes(4) + chunk for place, chunk in enumerate(chunks))
        head = 4 * (5 + len(step.output.shape) + len(step.axes))
        claim = (
            self.bounded,
            int(step.rule),
            int(step.output.dtype),
            self.claimed,
            canonical(step.output.dtype, self.claimed),
            head,
            len(encoded),
            [int(place) for place in np.unravel_index(self.index, step.axes)],
            True,
            self.witness or 0,
            opened,
        )
        function = int.from_bytes(encoded[head : head + 4])
        return referee_chain().refutes(contract_of(step.rule, int(step.output.dtype), function), claim, bytes(data))

    def value(self) -> int:
        """The right claim, by the Python referee. Raises `EngineError` where there is none."""
        return element(self.program, 0, self.index, self._read)

    def expected(self, encoded: bytes | None = None) -> bool | None:
        """What the Python referee says; None where it rejects the step."""
        if not canonical(self.program.steps[0].output.dtype, self.claimed):
            return True
        record = decode_step(self.encoded() if encoded is None else encoded)
        body, types = record.step.body, record.types
        if isinstance(body, Rank) and body.extent > MAX_ROW:
            # As `sworn.referee.check` has it, before it looks at any element.
            return None

        def type_of(space: Space, tensor: int) -> TensorType:
            return types[space, tensor]

        try:
            if self.witness is not None:
                return refutes(record.step, type_of, self.index, self.witness, claimed=self.claimed, read=self._read)
            profile = Profile.BOUNDED if self.bounded else Profile.EXACT
            return not agrees(profile, record.step, type_of, self.index, self._read, claimed=self.claimed)
        except EngineError:
            return True
        except _REJECTIONS:
            return None

    def _read(self, space: Space, tensor: int, element: int) -> int:
        array = (self.inputs if space is Space.VALUE else self.weights)[tensor].reshape(-1)
        return int(array[element : element + 1].view(f"u{array.itemsize}")[0])


def contract_of(rule: Rule, dtype: int, function: int) -> str:
    """The contract that judges a step, by its rule, output type and, where it is pointwise, function."""
    if rule is Rule.CONTRACT:
        return "FloatContractionRule" if dtype == 1 else "IntegerContractionRule"
    if rule is Rule.POINTWISE:
        return "RealFunctionRule" if function in _REAL else "PointwiseRule"
    return "SelectionRule"
