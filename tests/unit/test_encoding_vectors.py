"""Golden vectors of programs, roots and fault proofs: other languages read the same file.

``python tests/unit/test_encoding_vectors.py`` rewrites the file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tests.support.lies import all_proofs
from tests.support.subjects import compiled, every_rule, scattered

from sworn.model.encoding import decode_program, encode_program, encode_step
from sworn.referee import check, decode_proof, encode_proof
from sworn.types import Profile

FILE = Path(__file__).parents[1] / "snapshots" / "proof_vectors.json"

#: One proof of each kind, and of each form that an element's proof can take.
PROOFS = (
    "contraction",
    "function",
    "extremum",
    "extremum that is no position",
    "tree",
    "rank",
    "integers",
    "not canonical",
    "input that is not finite",
    "long step",
    "tensor too many",
    "other input",
    "other output",
)


def vectors() -> dict[str, Any]:
    """Everything that the file holds: a program in profile `exact`, and what differs in profile `bounded`."""
    bounded = vectors_in(Profile.BOUNDED)
    return {
        **vectors_in(Profile.EXACT),
        "bounded": {name: bounded[name] for name in ("limitsHash", "modelId", "statementDigest", "proofs")},
    }


def vectors_in(profile: Profile) -> dict[str, Any]:
    """A program with a step of every rule, a run of it, and proofs against it."""
    made, weights = every_rule()
    model = compiled(made, weights, profile=profile)
    inputs: dict[str, NDArray[Any]] = {
        "in0": scattered((1, 6, 6, 4)) / np.float32(64),
        "in1": scattered((5, 4)) / np.float32(64),
        "in2": (scattered((5, 4)) + 128).astype(np.uint8),
    }
    trace = model.trace(inputs)
    record, statement = model.model, trace.statement
    proofs = all_proofs(model, trace)
    return {
        "program": _hex(encode_program(made)),
        "steps": [_hex(encode_step(made, number)) for number in range(len(made.steps))],
        "programRoot": _hex(record.program_root),
        "weightsRoot": _hex(record.weights_root),
        "limitsHash": _hex(record.limits_hash),
        "modelId": _hex(model.model_id),
        "dataRoots": [_hex(root) for root in trace.data_roots],
        "inputRoot": _hex(statement.input_root),
        "outputRoot": _hex(statement.output_root),
        "traceRoot": _hex(statement.trace_root),
        "statementDigest": _hex(statement.digest()),
        "proofs": [{"name": name, "proof": _hex(encode_proof(proofs[name]))} for name in PROOFS],
    }


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


def stored() -> dict[str, Any]:
    """What the file holds."""
    content: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return content


def test_encoding_of_programs_and_proofs_matches_the_file() -> None:
    """Programs, roots and proofs are the same on every machine."""
    assert vectors() == stored()


def test_vectors_in_the_file_read_back_and_convict() -> None:
    """A proof from the file convicts as it stands; of the program, only its own bytes encode it."""
    file = stored()
    program = bytes.fromhex(file["program"][2:])
    assert encode_program(decode_program(program)) == program
    for vector in (*file["proofs"], *file["bounded"]["proofs"]):
        assert check(decode_proof(bytes.fromhex(vector["proof"][2:]))), vector["name"]


if __name__ == "__main__":
    FILE.write_text(json.dumps(vectors(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
