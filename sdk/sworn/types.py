"""The nouns of sworn: ids, enums and records, identical in Solidity, events, tables and the command line.

Enums have the members and the order of their Solidity twins in ``contracts/types``; a test compares them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Any, Final, NewType

import numpy as np
from numpy.typing import NDArray

#: 32 bytes; keccak256 over chain id, oracle and every field of a `Request`.
RequestId = NewType("RequestId", bytes)
#: 32 bytes; keccak256 over every field of a `Model`.
ModelId = NewType("ModelId", bytes)
#: 32 bytes; EIP-712 digest of a `Result`.
ResultId = NewType("ResultId", bytes)
#: 20 bytes as an EIP-55 checksummed hex string.
Address = NewType("Address", str)
#: An amount of the chain's native coin in its smallest unit.
Wei = NewType("Wei", int)

#: Tensors by name, as a model takes and gives them.
Tensors = Mapping[str, NDArray[Any]]
#: Shapes of model inputs by name, for inputs whose file leaves dimensions open.
InputShapes = Mapping[str, tuple[int, ...]]

ZERO_ADDRESS = Address("0x0000000000000000000000000000000000000000")
ZERO_HASH = bytes(32)


class Profile(IntEnum):
    """The arithmetic that a model promises."""

    NONE = 0
    #: Correctly rounded: the same bits on every machine.
    EXACT = 1
    #: Within a proven error bound of the exact value.
    BOUNDED = 2
    #: No arithmetic promise: accountable by signature and equivocation only.
    SIGNED = 3

    @property
    def promise(self) -> str:
        """What a result in this profile is worth, for people."""
        return _PROMISES[self]


_PROMISES = {
    Profile.NONE: "not registered: nothing is promised",
    Profile.EXACT: "the same bits on every machine: anyone can run it again and prove a single wrong element",
    Profile.BOUNDED: "every element within a stated bound of its exact value: anyone can prove one outside it",
    Profile.SIGNED: "no arithmetic promise: accountable by signature only",
}

#: The profile of a model that is named without one, everywhere.
DEFAULT_PROFILE = Profile.EXACT


class Assurance(IntEnum):
    """When the consumer is called."""

    #: Once, after the challenge window.
    FINAL = 0
    #: At once when a result is proposed, then again with the final result or a refutation notice.
    PROVISIONAL = 1


class Status(IntEnum):
    """Where a request stands on chain."""

    #: Never requested.
    NONE = 0
    #: Waiting for a result; also after a refuted result when others may still answer.
    REQUESTED = 1
    #: A signed result is in its challenge window.
    PROPOSED = 2
    #: The result stands and the operator has been paid.
    FINALIZED = 3
    #: Nobody answered in time; refunded.
    EXPIRED = 4
    #: The named operator signed a typed failure; refunded.
    FAILED = 5
    #: The named operator's result was proven false, or it swore two answers; refunded.
    REFUTED = 6
    #: The proposed result is under challenge.
    DISPUTED = 7


class DisputeStatus(IntEnum):
    """Where a dispute over a result stands on chain."""

    #: Never challenged.
    NONE = 0
    #: Challengers look for a fault, the operator answers demands.
    OPEN = 1
    #: The result was proven false, or its operator fell silent.
    REFUTED = 2
    #: Nobody proved a fault in time.
    UPHELD = 3


class Part(IntEnum):
    """What a challenger demands to see: of the trace first, then of the model that made it."""

    #: Nodes of the tree over the values' data roots.
    VALUES = 0
    #: Nodes of the tree over a value's chunks.
    NODES = 1
    #: Up to 16 chunks of a value.
    CHUNKS = 2
    #: Nodes of the tree over the weights' data roots.
    WEIGHTS = 3
    #: Nodes of the tree over a weight's chunks.
    WEIGHT_NODES = 4
    #: Up to 16 chunks of a weight.
    WEIGHT_CHUNKS = 5
    #: One step of the program.
    STEPS = 6
    #: Its interface: types of inputs and weights, outputs.
    INTERFACE = 7


#: `Demand.due_at` of a demand that has been answered.
ANSWERED: Final = 2**40 - 1


class CallbackKind(IntEnum):
    """A callback that has not succeeded yet."""

    NONE = 0
    PROVISIONAL = 1
    FINAL = 2
    FAILED = 3
    REFUTED = 4


class FailureCode(IntEnum):
    """Why an operator refuses to answer."""

    #: The payload is malformed, or does not fit the model's schema, or does not match the input root.
    BAD_INPUT = 0
    #: The input, or a value of the run, is NaN or infinite where the model forbids it.
    NOT_FINITE = 1
    #: Input or output exceeds a size limit.
    TOO_LARGE = 2
    #: The operator cannot run this model.
    UNSUPPORTED = 3
    #: An input given by reference could not be fetched.
    INPUT_UNAVAILABLE = 4
    #: The run broke a time or memory limit.
    LIMIT_EXCEEDED = 5
    #: The runtime failed on a well-formed input.
    EXECUTION_FAILED = 6


class DType(IntEnum):
    """Element types, numbered as in ONNX ``TensorProto.DataType``."""

    FLOAT32 = 1
    UINT8 = 2
    INT8 = 3
    UINT16 = 4
    INT16 = 5
    INT32 = 6
    INT64 = 7
    BOOL = 9
    FLOAT64 = 11
    UINT32 = 12
    UINT64 = 13

    @cached_property
    def numpy(self) -> np.dtype[Any]:
        """The numpy dtype in native byte order."""
        return np.dtype(self.name.lower())

    @property
    def itemsize(self) -> int:
        """Bytes per element."""
        return self.numpy.itemsize


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """Name, element type and shape of one model input or output; ``None`` marks a dimension that may vary."""

    name: str
    dtype: DType
    shape: tuple[int | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """What a model takes and gives, in the order in which payloads carry the tensors."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """Everything that identifies a model: the preimage of a `ModelId`."""

    version: int
    profile: Profile
    artifact_hash: bytes
    program_root: bytes
    weights_root: bytes
    io_hash: bytes
    limits_hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The preimage of a `RequestId`. Amounts in wei, times in unix seconds."""

    model_id: ModelId
    input_root: bytes
    requester: Address
    #: The only operator that may answer; `ZERO_ADDRESS` = any with an offer for the model.
    operator: Address
    refund_to: Address
    fee_wei: int
    value_at_risk_wei: int
    callback_gas: int
    window_s: int
    deadline: int
    assurance: Assurance
    salt: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The statement that an operator's signer swears to."""

    request_id: RequestId
    model_id: ModelId
    input_root: bytes
    output_root: bytes
    trace_root: bytes
    operator: Address
    expiry: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A signed refusal to answer."""

    request_id: RequestId
    operator: Address
    code: FailureCode


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a proposer adds to a request; with the request it determines the whole `Result`."""

    operator: Address
    trace_root: bytes
    #: Canonical payload of the output tensors.
    output: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """The terms on which an operator serves one model."""

    active: bool
    price_wei: int
    max_value_at_risk_wei: int
    max_window_s: int
    max_callback_gas: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestState:
    """A request's storage slot, unpacked."""

    status: Status
    pending: CallbackKind
    #: Number of refuted results so far.
    round: int
    #: Whether a conviction has barred any operator from this request.
    has_barred: bool
    extension_s: int
    proposed_at: int
    #: First 20 bytes of the current `ResultId`; for FAILED, the failure code in the last byte.
    result_tag: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """Addresses of one deployment of the contracts, those that judge faults first, and its parameters."""

    chain_id: int
    #: Block of the first deployment transaction: no event of ours is older.
    block: int
    selection_rule: Address
    float_contraction_rule: Address
    integer_contraction_rule: Address
    pointwise_rule: Address
    real_function_rule: Address
    referee: Address
    trace_verifier: Address
    model_registry: Address
    operator_registry: Address
    oracle: Address
    dispute_game: Address
    signed_results: Address
    parameters: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Something of a trace that a challenger wants to see."""

    part: Part
    #: Number of the value; 0 for `Part.VALUES`.
    value: int = 0
    #: Height of the node in its tree, leaves at 0; always 0 for `Part.CHUNKS`.
    level: int = 0
    #: Which node of that height; for `Part.CHUNKS`, which group of 16 chunks.
    index: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Disclosure:
    """What an operator shows of a trace: a node with its descendants four levels below, or at the leaves."""

    #: Leaves of the tree over the values.
    values: int
    #: Root of that tree.
    values_tree: bytes
    #: For nodes and chunks of one value: the way from its data root to `values_tree`.
    value_siblings: tuple[bytes, ...] = ()
    #: Bytes of the value.
    length: int = 0
    #: Root of the tree over its chunks.
    chunks_tree: bytes = ZERO_HASH
    #: The wanted node's descendants; empty where the node does not exist.
    nodes: tuple[bytes, ...] = ()
    #: The chunks themselves, one after the other; `Part.CHUNKS` only.
    chunks: bytes = b""
    #: The way from the wanted node to the root of its tree.
    siblings: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispute:
    """One result under challenge, as stored on chain. Times are unix seconds, 0 = not yet."""

    status: DisputeStatus
    opened_at: int
    #: Last second in which somebody may challenge or join.
    closes_at: int
    opener: Address
    #: Bonds of all who joined, without the opener's.
    joined_wei: int
    #: What challengers have paid for answered demands.
    spent_wei: int
    open_demands: int
    #: Committed by the operator when the result carries none.
    trace_root: bytes
    #: Whose proof counts; zero = convicted for silence, or by other means.
    prover: Address
    committed_at: int
    proof_cost_gwei: int
    #: The share of the slashed bond that goes to those who convicted.
    reward_wei: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChallengerState:
    """A party to a dispute, as stored on chain."""

    bond_wei: int
    #: Paid for demands that wait for an answer.
    locked_wei: int
    #: Paid for answered demands, and for a proof that another took the place of.
    spent_wei: int
    #: Hides which fault will be proven; zero = none.
    commitment: bytes
    committed_at: int
    committed_in_block: int
    open_demands: int
    claimed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """A demand, as stored on chain."""

    #: Last second in which the operator may answer; 0 = never made, `ANSWERED` = answered.
    due_at: int
    price_wei: int
