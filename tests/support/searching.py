"""Operators that show whatever of their traces is wanted, on chain or by a server, and what a search makes of it."""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from sworn.codec.dispute_structs import encode_disclosure
from sworn.codec.tensors import encode_tensors
from sworn.dispute.disclosure import show
from sworn.dispute.search import Finding, Search, Wanted
from sworn.dispute.shown_trace import ShownTrace
from sworn.errors import ArtifactUnavailable
from sworn.types import Address, Part, RequestId, Result, Target
from sworn.verification import CompiledModel, Trace

OPERATOR = Address("0x" + "0a" * 20)
URL = "https://operator.example/traces"
#: More than any search here may demand.
MANY = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Searched:
    """What a search came to, and all that it asked for, in order."""

    finding: Finding
    targets: tuple[Target, ...]


def result_with(trace: Trace) -> Result:
    """A result whose operator stands for a trace and what was stated with it."""
    return Result(
        request_id=RequestId(bytes(32)),
        model_id=trace.subject.model_id,
        input_root=trace.input_root,
        output_root=trace.output_root,
        trace_root=trace.root,
        operator=OPERATOR,
        expiry=0,
    )


def search_through(search: Search, trace: Trace, result: Result | None = None) -> Searched:
    """Shows what is wanted, again and again, until the search has come to something."""
    stated = result or result_with(trace)
    shown, asked = ShownTrace(stated.trace_root), list[Target]()
    finding = search.look(stated, shown)
    while isinstance(finding, Wanted) and len(asked) < MANY:
        for target in finding.targets:
            assert target not in asked, "the same twice"
            asked.append(target)
            shown.take(target, show(trace, target))
        finding = search.look(stated, shown)
    return Searched(finding=finding, targets=tuple(asked))


def payload_of(model: CompiledModel, inputs: dict[str, NDArray[Any]]) -> bytes:
    """The payload of some inputs."""
    return encode_tensors(inputs, model.schema.inputs)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedTrace:
    """A `Fetcher` of what an operator's server would answer; ``changed`` are answers that it gives instead."""

    trace: Trace
    changed: dict[str, bytes] = field(default_factory=dict)
    gone: frozenset[str] = frozenset()

    @property
    def schemes(self) -> frozenset[str]:
        return frozenset({"https"})

    def open(self, uri: str) -> Generator[bytes, None, None]:
        path = uri.removeprefix(URL)
        kind = path.split("/")[4] if len(path.split("/")) > 4 else "summary"
        if kind in self.gone:
            raise ArtifactUnavailable("404")
        yield self.changed.get(kind) or self._answer(path.split("/")[2:])

    def _answer(self, parts: list[str]) -> bytes:
        trace = self.trace
        match parts:
            case ["traces", root, *_] if root != trace.root.hex():
                raise ArtifactUnavailable("404")
            case ["traces", _]:
                roots = ["0x" + root.hex() for root in trace.data_roots]
                return json.dumps({"values": len(roots), "dataRoots": roots, "lengths": trace.lengths}).encode()
            case ["traces", _, "values", number]:
                return trace.read(int(number), 0, trace.lengths[int(number)])
            case ["traces", _, "disclosures", *place]:
                part, value, level, index = (int(each) for each in place)
                target = Target(part=Part(part), value=value, level=level, index=index)
                return encode_disclosure(show(trace, target))
            case ["results", _]:
                return json.dumps({"traceRoot": "0x" + trace.root.hex()}).encode()
        raise ArtifactUnavailable("404")
