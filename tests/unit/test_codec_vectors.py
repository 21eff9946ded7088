"""Golden vectors: the encoding may not change unnoticed, and other languages read the same file.

``python tests/unit/test_codec_vectors.py`` rewrites the file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sworn.codec import structs
from sworn.codec.hashing import (
    Domain,
    domain_separator,
    failure_digest,
    io_hash,
    model_id,
    request_id,
    result_digest,
    result_of,
)
from sworn.codec.payload import split_payload
from sworn.codec.tensors import decode_payload, dtype_of, encode_payload, encode_reference, reference_of
from sworn.codec.trees import data_root, payload_root, tensor_root
from sworn.errors import DTypeUnsupported, PayloadMalformed, ValueNotFinite
from sworn.types import (
    ZERO_ADDRESS,
    ZERO_HASH,
    Address,
    Answer,
    Assurance,
    DType,
    Failure,
    FailureCode,
    Model,
    Profile,
    Request,
    Schema,
    TensorSpec,
)

FILE = Path(__file__).parents[1] / "snapshots" / "encoding_vectors.json"

ORACLE = Address("0x5FbDB2315678afecb367f032d93F642f64180aa3")
OPERATOR = Address("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266")
CONSUMER = Address("0x70997970C51812dc3A010C7d01b50e0d17dc79C8")
DOMAIN = Domain(chain_id=31337, oracle=ORACLE)
SCHEMA = Schema(
    inputs=(
        TensorSpec(name="features", dtype=DType.FLOAT32, shape=(None, 30)),
        TensorSpec(name="größe", dtype=DType.BOOL, shape=()),
    ),
    outputs=(TensorSpec(name="label", dtype=DType.INT64, shape=(None,)),),
)
MALFORMED = {
    "empty": "",
    "reference": "00697066733a2f2f61",
    "too many tensors": "41" + "0300" * 65,
    "header cut": "0101",
    "dimensions cut": "010101000000",
    "rank 33": "010321" + "00000001" * 33 + "07",
    "unknown dtype": "010a000000",
    "string dtype": "01080000",
    "data short": "01010100000002" + "00" * 7,
    "data long": "01010100000002" + "00" * 9,
    "second tensor missing": "02030007",
    "billion elements": "010103000003e8000003e8000003e800000000",
    "product overflow": "010103800000008000000000000004",
    "largest shape": "010d20" + "ffffffff" * 32,
}
NOT_CANONICAL = {
    "zero before overflow": "01030300000000ffffffffffffffff",
    "zero after overflow": "010303ffffffffffffffff00000000",
    "float32 negative zero": "01010080000000",
    "float32 NaN": "0101007fc00000",
    "float64 infinity": "010b00fff0000000000000",
    "bool 2": "01090002",
}


def arrays() -> dict[str, list[NDArray[Any]]]:
    """Named inputs: every dtype, ranks, zero sizes and every tree shape that matters."""
    cases: dict[str, list[NDArray[Any]]] = {
        f"{dtype.name.lower()} vector": [np.array([0, 1, 2, 100]).astype(dtype.numpy)] for dtype in DType
    }
    cases["int extremes"] = [np.array([-(2**63), 2**63 - 1]), np.array([2**64 - 1], dtype=np.uint64)]
    cases["float32 values"] = [np.array([1.5, -2.5, 1e-45, 3.4028235e38], dtype=np.float32)]
    cases["negative zero"] = [np.array([-0.0, 0.0]), np.array([-0.0], dtype=np.float32)]
    cases["scalar"] = [np.array(-7, dtype=np.int32)]
    cases["matrix"] = [np.arange(6, dtype=np.float32).reshape(2, 3)]
    cases["rank 32"] = [np.full((1,) * 32, 9, dtype=np.uint8)]
    cases["zero size"] = [np.zeros((0,), dtype=np.float32), np.zeros((3, 0, 1000), dtype=np.int64)]
    cases["64 tensors"] = [np.array(index, dtype=np.uint8) for index in range(64)]
    cases["several"] = [np.array([[0.25, 0.75]], dtype=np.float32), np.array([1]), np.array([[True], [False]])]
    for size in (1023, 1024, 1025, 2048, 2049, 3072, 5000, 8192, 9000):
        cases[f"{size} bytes"] = [(np.arange(size) * 31 % 253).astype(np.uint8)]
    return cases


def vectors() -> dict[str, Any]:
    """Everything that the file holds."""
    return {
        "payloads": [_payload_vector(name, case) for name, case in arrays().items()],
        "malformedPayloads": [{"name": name, "payload": "0x" + payload} for name, payload in MALFORMED.items()],
        "notCanonicalPayloads": [
            {"name": name, "payload": "0x" + payload, "payloadRoot": _hex(payload_root(bytes.fromhex(payload)))}
            for name, payload in NOT_CANONICAL.items()
        ],
        "reference": {"uri": "ipfs://größe", "payload": _hex(encode_reference("ipfs://größe"))},
        **_statement_vectors(),
    }


def _payload_vector(name: str, case: list[NDArray[Any]]) -> dict[str, Any]:
    payload = encode_payload(case)
    raws = split_payload(payload)
    return {
        "name": name,
        "dtypes": [int(dtype_of(array)) for array in case],
        "shapes": [list(array.shape) for array in case],
        "payload": _hex(payload),
        "dataRoots": [_hex(data_root(raw.data)) for raw in raws],
        "tensorRoots": [_hex(tensor_root(raw.dtype, raw.shape, raw.data)) for raw in raws],
        "payloadRoot": _hex(payload_root(payload)),
    }


def _model_and_request() -> tuple[Model, Request]:
    model = Model(
        version=1,
        profile=Profile.SIGNED,
        artifact_hash=bytes(range(32)),
        program_root=ZERO_HASH,
        weights_root=ZERO_HASH,
        io_hash=io_hash(SCHEMA),
        limits_hash=ZERO_HASH,
    )
    request = Request(
        model_id=model_id(model),
        input_root=payload_root(encode_payload(arrays()["several"])),
        requester=CONSUMER,
        operator=ZERO_ADDRESS,
        refund_to=CONSUMER,
        fee_wei=10**15,
        value_at_risk_wei=5 * 10**17,
        callback_gas=150_000,
        window_s=3600,
        deadline=1_900_000_000,
        assurance=Assurance.PROVISIONAL,
        salt=bytes(range(32, 64)),
    )
    return model, request


def _statement_vectors() -> dict[str, Any]:
    model, request = _model_and_request()
    answer = Answer(operator=OPERATOR, trace_root=ZERO_HASH, output=encode_payload(arrays()["matrix"]))
    result = result_of(request, answer, chain_id=DOMAIN.chain_id, oracle=ORACLE)
    failure = Failure(request_id=result.request_id, operator=OPERATOR, code=FailureCode.NOT_FINITE)
    return {
        "domain": {"chainId": DOMAIN.chain_id, "oracle": ORACLE, "separator": _hex(domain_separator(DOMAIN))},
        "schema": {
            "inputs": [_spec(spec) for spec in SCHEMA.inputs],
            "outputs": [_spec(spec) for spec in SCHEMA.outputs],
            "ioHash": _hex(io_hash(SCHEMA)),
        },
        "model": {"abi": _tuple(structs.model_to_abi(model)), "id": _hex(model_id(model))},
        "request": {
            "abi": _tuple(structs.request_to_abi(request)),
            "id": _hex(request_id(request, chain_id=DOMAIN.chain_id, oracle=ORACLE)),
        },
        "answer": {"abi": _tuple(structs.answer_to_abi(answer))},
        "result": {"abi": _tuple(structs.result_to_abi(result)), "digest": _hex(result_digest(result, DOMAIN))},
        "failure": {"abi": _tuple(structs.failure_to_abi(failure)), "digest": _hex(failure_digest(failure, DOMAIN))},
    }


def _spec(spec: TensorSpec) -> dict[str, Any]:
    dims = [-1 if size is None else size for size in spec.shape]
    return {"name": spec.name, "dtype": int(spec.dtype), "dims": dims}


def _tuple(values: tuple[Any, ...]) -> list[Any]:
    return [_hex(value) if isinstance(value, bytes) else value for value in values]


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


def _dump() -> str:
    return json.dumps(vectors(), indent=1, ensure_ascii=False) + "\n"


def test_encoding_vectors_are_what_the_code_computes() -> None:
    """Payloads, roots, ids and digests are those of the committed file."""
    assert json.loads(FILE.read_text(encoding="utf-8")) == json.loads(_dump())


def test_encoding_vectors_decode_to_the_arrays_they_were_made_of() -> None:
    """The file's payloads hold the values that they name."""
    committed = json.loads(FILE.read_text(encoding="utf-8"))
    for vector, case in zip(committed["payloads"], arrays().values(), strict=True):
        decoded = decode_payload(bytes.fromhex(vector["payload"][2:]))
        assert all(np.array_equal(a, b) for a, b in zip(decoded, case, strict=True))
    assert reference_of(bytes.fromhex(committed["reference"]["payload"][2:])) == committed["reference"]["uri"]


def test_malformed_vectors_are_refused() -> None:
    """No reader may accept what the file calls malformed."""
    for vector in json.loads(FILE.read_text(encoding="utf-8"))["malformedPayloads"]:
        with pytest.raises((PayloadMalformed, DTypeUnsupported)):
            payload_root(bytes.fromhex(vector["payload"][2:]))


def test_vectors_that_are_not_canonical_have_a_root_but_are_not_decoded() -> None:
    """Roots look at structure; values are the decoder's matter."""
    for payload in NOT_CANONICAL.values():
        with pytest.raises((PayloadMalformed, ValueNotFinite)):
            decode_payload(bytes.fromhex(payload))


if __name__ == "__main__":
    FILE.write_text(_dump(), encoding="utf-8")
