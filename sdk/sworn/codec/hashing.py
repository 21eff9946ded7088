"""Ids and EIP-712 digests, equal to what the contracts compute. `docs/encoding.md` is the norm."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, Final

from eth_keys.datatypes import Signature
from eth_keys.exceptions import BadSignature
from eth_utils.exceptions import ValidationError

from sworn.codec.structs import (
    FAILURE_ABI,
    MODEL_ABI,
    REQUEST_ABI,
    abi_encode,
    failure_to_abi,
    model_to_abi,
    request_to_abi,
    result_to_abi,
)
from sworn.codec.trees import keccak, payload_root
from sworn.errors import CodecError
from sworn.types import (
    Address,
    Answer,
    Failure,
    Model,
    ModelId,
    Request,
    RequestId,
    Result,
    ResultId,
    Schema,
    TensorSpec,
)

DOMAIN_NAME: Final = "sworn"
DOMAIN_VERSION: Final = "1"

_DOMAIN_TYPEHASH = keccak(b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
_RESULT_FIELDS = (
    ("bytes32", "requestId"),
    ("bytes32", "modelId"),
    ("bytes32", "inputRoot"),
    ("bytes32", "outputRoot"),
    ("bytes32", "traceRoot"),
    ("address", "operator"),
    ("uint64", "expiry"),
)
_FAILURE_FIELDS = (("bytes32", "requestId"), ("address", "operator"), ("uint8", "code"))
_TENSOR_SPECS_ABI = "(string,uint8,int64[])[]"

#: Order n of secp256k1; a signature with s above n / 2 has a twin with s below it.
_CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """Where a signature counts: one oracle on one chain."""

    chain_id: int
    oracle: Address


def request_id(request: Request, *, chain_id: int, oracle: Address) -> RequestId:
    """keccak256(abi.encode(chain id, oracle, request)). Raises `CodecError`."""
    encoded = abi_encode(("uint256", "address", REQUEST_ABI), (chain_id, oracle, request_to_abi(request)))
    return RequestId(keccak(encoded))


def model_id(model: Model) -> ModelId:
    """keccak256(abi.encode(model)). Raises `CodecError`."""
    return ModelId(keccak(abi_encode((MODEL_ABI,), (model_to_abi(model),))))


def io_hash(schema: Schema) -> bytes:
    """keccak256(abi.encode(inputs, outputs)), each spec as (name, dtype, dims) with -1 for a dimension that varies."""
    specs = ([_spec_to_abi(spec) for spec in side] for side in (schema.inputs, schema.outputs))
    return keccak(abi_encode((_TENSOR_SPECS_ABI, _TENSOR_SPECS_ABI), tuple(specs)))


@lru_cache(maxsize=64)
def domain_separator(domain: Domain) -> bytes:
    """EIP-712 domain separator, 32 bytes."""
    values = (
        _DOMAIN_TYPEHASH,
        keccak(DOMAIN_NAME.encode()),
        keccak(DOMAIN_VERSION.encode()),
        domain.chain_id,
        domain.oracle,
    )
    return keccak(abi_encode(("bytes32", "bytes32", "bytes32", "uint256", "address"), values))


def result_digest(result: Result, domain: Domain) -> ResultId:
    """EIP-712 digest that a result signer signs. Raises `CodecError`."""
    *words, operator, expiry = result_to_abi(result)
    if not 0 <= expiry < 1 << 64:
        raise CodecError(f"an expiry has 64 bits, not {expiry}")
    # Seven words, as `abi.encode` makes them: operators do this hundreds of times a second.
    padded = bytes(12) + bytes.fromhex(operator[2:]) + expiry.to_bytes(32)
    return ResultId(_digest(domain, keccak(b"".join((_typehash("Result", _RESULT_FIELDS), *words, padded)))))


def failure_digest(failure: Failure, domain: Domain) -> bytes:
    """EIP-712 digest of a failure, 32 bytes. Raises `CodecError`."""
    return _digest(domain, _struct_hash("Failure", _FAILURE_FIELDS, FAILURE_ABI, failure_to_abi(failure)))


def result_typed_data(result: Result, domain: Domain) -> dict[str, Any]:
    """The same statement as EIP-712 JSON (`eth_signTypedData_v4`), for wallets that want to show what they sign."""
    return _typed_data("Result", _RESULT_FIELDS, result_to_abi(result), domain)


def failure_typed_data(failure: Failure, domain: Domain) -> dict[str, Any]:
    """A failure as EIP-712 JSON (`eth_signTypedData_v4`)."""
    return _typed_data("Failure", _FAILURE_FIELDS, failure_to_abi(failure), domain)


def result_of(request: Request, answer: Answer, *, chain_id: int, oracle: Address) -> Result:
    """The whole statement that an answer to a request makes. Raises `PayloadMalformed` for a malformed output."""
    return Result(
        request_id=request_id(request, chain_id=chain_id, oracle=oracle),
        model_id=request.model_id,
        input_root=request.input_root,
        output_root=payload_root(answer.output),
        trace_root=answer.trace_root,
        operator=answer.operator,
        expiry=request.deadline,
    )


def recover_signer(digest: bytes, signature: bytes) -> Address:
    """Who signed a 32-byte digest; the same signatures count as in the contracts.

    A signature is r | s | v, 65 bytes, v 27 or 28, s in the lower half of the order. Raises `CodecError` otherwise.
    """
    if len(digest) != 32:
        raise CodecError(f"a digest has 32 bytes, not {len(digest)}")
    if len(signature) != 65:
        raise CodecError(f"a signature has 65 bytes, not {len(signature)}")
    r, s, v = int.from_bytes(signature[:32]), int.from_bytes(signature[32:64]), signature[64]
    if v not in (27, 28):
        raise CodecError(f"v is {v}, not 27 or 28")
    # INVARIANT: one digest and one key have one accepted form of each signature (s and n - s recover the same key).
    if not (0 < r < _CURVE_ORDER and 0 < s <= _CURVE_ORDER // 2):
        raise CodecError("r or s is out of range")
    try:
        public_key = Signature(vrs=(v - 27, r, s)).recover_public_key_from_msg_hash(digest)
    except (BadSignature, ValidationError) as error:
        raise CodecError("no key made this signature") from error
    return Address(public_key.to_checksum_address())


def _spec_to_abi(spec: TensorSpec) -> tuple[str, int, list[int]]:
    return spec.name, int(spec.dtype), [-1 if size is None else size for size in spec.shape]


def _struct_hash(name: str, fields: tuple[tuple[str, str], ...], abi: str, values: tuple[Any, ...]) -> bytes:
    return keccak(abi_encode(("bytes32", abi), (_typehash(name, fields), values)))


@cache
def _typehash(name: str, fields: tuple[tuple[str, str], ...]) -> bytes:
    return keccak(f"{name}({','.join(f'{kind} {field}' for kind, field in fields)})".encode())


def _digest(domain: Domain, struct_hash: bytes) -> bytes:
    return keccak(b"\x19\x01" + domain_separator(domain) + struct_hash)


def _typed_data(
    name: str, fields: tuple[tuple[str, str], ...], values: tuple[Any, ...], domain: Domain
) -> dict[str, Any]:
    message = {field: _json(value) for (_, field), value in zip(fields, values, strict=True)}
    domain_fields = (
        ("string", "name"),
        ("string", "version"),
        ("uint256", "chainId"),
        ("address", "verifyingContract"),
    )
    return {
        "types": {
            "EIP712Domain": [{"name": field, "type": kind} for kind, field in domain_fields],
            name: [{"name": field, "type": kind} for kind, field in fields],
        },
        "primaryType": name,
        "domain": {
            "name": DOMAIN_NAME,
            "version": DOMAIN_VERSION,
            "chainId": domain.chain_id,
            "verifyingContract": domain.oracle,
        },
        "message": message,
    }


def _json(value: Any) -> Any:
    return "0x" + value.hex() if isinstance(value, bytes) else value
