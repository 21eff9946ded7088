"""A committed selection of claims with the verdict on each: of every kind of step, type and outcome the shortest."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
from tests.support.programs import program
from tests.support.referee_cases import FAMILIES
from tests.support.referee_chain import Case, Verdict
from tests.support.referee_elements import Array, array_of
from tests.support.referee_fuzz import endless_cases, kind_of, put_before_both

from sworn.errors import ModelError
from sworn.model.encoding import decode_step
from sworn.model.program import Contract, Copy, Extremum, Rank, Space, TensorType, Tree
from sworn.types import DType, Profile

CORPUS: Final = Path(__file__).resolve().parents[1] / "corpus" / "referee" / "claims.jsonl.gz"
#: Claims of which the shortest of each kind and outcome is chosen, for each family and profile.
_DRAWN, _SEED = 2_500, 11
#: Longer ones are left to the fuzzer, in bytes of step and tensors.
_LONGEST: Final = 360


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A claim, and what both referees say: "convicted", "acquitted", or the error with which the chain refuses."""

    case: Case
    outcome: str

    def to_json(self) -> str:
        """One line."""
        case = self.case
        fields = {
            "outcome": self.outcome,
            "profile": "bounded" if case.bounded else "exact",
            "step": case.encoded().hex(),
            "inputs": [_array_to_json(array) for array in case.inputs],
            "weights": [_array_to_json(array) for array in case.weights],
            "index": case.index,
            "claimed": case.claimed,
            "witness": case.witness,
        }
        return json.dumps(fields, separators=(",", ":"))

    @classmethod
    def from_json(cls, line: str) -> Entry:
        """What `to_json` wrote."""
        fields = json.loads(line)
        case = _rebuilt(
            bytes.fromhex(fields["step"]),
            [_array_from_json(each) for each in fields["inputs"]],
            [_array_from_json(each) for each in fields["weights"]],
            index=fields["index"],
            claimed=fields["claimed"],
            witness=fields["witness"],
            bounded=fields["profile"] == "bounded",
        )
        return cls(case=case, outcome=fields["outcome"])


def outcome_of(verdict: Verdict) -> str:
    """A verdict as the corpus names it."""
    return verdict.error if verdict.faulty is None else "convicted" if verdict.faulty else "acquitted"


def read_corpus() -> list[Entry]:
    """All entries."""
    return [Entry.from_json(line) for line in gzip.decompress(CORPUS.read_bytes()).decode().splitlines()]


def write_corpus() -> int:
    """Chooses anew; how many entries there are."""
    entries = [entry for family in FAMILIES for profile in _PROFILES for entry in _chosen(family, profile)]
    CORPUS.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(entry.to_json() + "\n" for entry in entries)
    CORPUS.write_bytes(gzip.compress(lines.encode(), mtime=0))
    return len(entries)


_PROFILES: Final = (Profile.EXACT, Profile.BOUNDED)


def _chosen(family: str, profile: Profile) -> Iterator[Entry]:
    shortest: dict[tuple[str, ...], tuple[int, Entry]] = {}
    for case in islice(endless_cases(family, profile, seed=_SEED), _DRAWN):
        encoded = case.encoded()
        size = len(encoded) + sum(array.nbytes for array in (*case.inputs, *case.weights))
        if size > _LONGEST or not _is_readable(encoded):
            continue
        entry = Entry(case=case, outcome=outcome_of(put_before_both(case)))
        sort = (kind_of(case), entry.outcome, case.program.steps[0].output.dtype.name, *_features(case))
        # Of equals the last: in profile `bounded` those are claims at a bound.
        if sort not in shortest or size <= shortest[sort][0]:
            shortest[sort] = size, entry
    for _, (_, entry) in sorted(shortest.items(), key=lambda item: item[0]):
        yield entry


def _features(case: Case) -> Iterable[str]:
    """What sets a step apart from others of its kind."""
    found: list[object]
    match case.program.steps[0].body:
        case Contract() as body:
            found = [body.right is None, body.bias is None, body.lower is None, body.upper is None]
            found += [min(body.divisor, 2), any(each.clip for each in body.reductions)]
        case Copy() as body:
            found = [len(body.pieces)]
        case Extremum() | Rank() as body:
            found = [body.largest, case.inputs[0].dtype.name]
        case Tree():
            found = [len(case.weights[0]), case.witness]
        case _:
            found = [array.dtype.name for array in case.inputs[:1]]
    return map(str, found)


def _is_readable(encoded: bytes) -> bool:
    """Whether a step comes back from its bytes: one that does not is no step, and has no place in a program."""
    try:
        decode_step(encoded)
    except ModelError:
        return False
    return True


def _rebuilt(encoded: bytes, inputs: Sequence[Array], weights: Sequence[Array], **claim: Any) -> Case:
    record = decode_step(encoded)

    def types(space: Space, arrays: Sequence[Array]) -> list[TensorType]:
        plain = [TensorType(dtype=_dtype_of(array), shape=(array.size,)) for array in arrays]
        return [record.types.get((space, number), each) for number, each in enumerate(plain)]

    made = program(types(Space.VALUE, inputs), (record.step,), types(Space.WEIGHT, weights))
    case = Case(program=made, inputs=inputs, weights=weights, **claim)
    assert case.encoded() == encoded
    return case


def _dtype_of(array: Array) -> DType:
    return next(dtype for dtype in DType if np.dtype(dtype.numpy) == array.dtype)


def _array_to_json(array: Array) -> list[str]:
    flat = np.ascontiguousarray(array).reshape(-1)
    return [_dtype_of(flat).name, flat.astype(flat.dtype.newbyteorder(">")).tobytes().hex()]


def _array_from_json(fields: Sequence[str]) -> Array:
    dtype, data = DType[fields[0]], bytes.fromhex(fields[1])
    size = dtype.itemsize
    return array_of([int.from_bytes(data[start : start + size]) for start in range(0, len(data), size)], dtype)
