"""Where a trace is wrong, and what to look at next to find out: from what is known, and nothing else.

In profile `exact` one's own run is the truth: hashes lead to the first value, chunk and element that differ from it,
and what the element is computed from is one's own. In `bounded` honest runs differ, so every value is audited in turn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, Protocol

from sworn.codec.trees import CHUNK_BYTES, chunk_count, depth_of, tree_levels
from sworn.dispute.disclosure import GROUP_CHUNKS, SHOWN_LEVELS
from sworn.dispute.evidence import ShownEvidence, ShownValues, node_of
from sworn.dispute.own_run import OwnRun, own_run
from sworn.dispute.shown_trace import KnownTree, ShownTrace, ShownValue
from sworn.errors import ConfigurationError, ProofMalformed
from sworn.model.commitment import expected_bytes, linked_root
from sworn.model.program import Program, TensorType
from sworn.referee import FaultKind, Statement, check, encode_proof
from sworn.types import Part, Profile, Result, Target
from sworn.verification import CompiledModel, Trace, prove
from sworn.verification.audit import ValueAudit
from sworn.verification.proving import Evidence

#: Chunk groups that an audit asks for at a time; whoever demands them decides how many are open at once.
_AHEAD: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultFound:
    """A fault, and the proof of it."""

    kind: FaultKind
    value: int
    index: int
    #: Encoded, and judged by the referee here.
    proof: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Nobody can tell yet: these parts of the trace come next, the most important first."""

    targets: tuple[Target, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NoFault:
    """The result is right: nobody can prove anything against it."""

    reason: str


Finding = FaultFound | Wanted | NoFault


class Search(Protocol):
    """Looks for a fault in the traces of one model's runs on one payload."""

    def look(self, result: Result, shown: ShownTrace) -> Finding:
        """What follows from all that has been shown of the trace under the result's trace root.

        ``result`` has the trace root that its operator committed to. Raises `ConfigurationError` for a result about
        another model or input.
        """
        ...


def search_of(model: CompiledModel, payload: bytes) -> Search:
    """The search that a model's profile calls for; in profile `exact` it runs the model. Raises as `own_run` does."""
    if model.model.profile is Profile.BOUNDED:
        return BoundedSearch(model)
    return ExactSearch(model, own_run(model, payload))


def audit_trace(model: CompiledModel, trace: Trace, result: Result) -> Finding:
    """The same where the whole trace is at hand. Raises `ConfigurationError` for another trace than the result's."""
    if trace.statement != statement_of(result):
        raise ConfigurationError("the trace is not the one that was sworn")
    faults = model.audit(trace, max_faults=1)
    if not faults:
        return NoFault(reason="every element of the trace is admissible")
    return found(trace, kind=faults[0].kind, value=faults[0].value, index=faults[0].index)


def statement_of(result: Result) -> Statement:
    """What a result claims of a run."""
    return Statement(
        model_id=result.model_id,
        input_root=result.input_root,
        output_root=result.output_root,
        trace_root=result.trace_root,
    )


def found(evidence: Evidence, *, kind: FaultKind, value: int = 0, index: int = 0) -> FaultFound:
    """A fault with its proof. Raises `ProofMalformed` where it does not convince the referee."""
    proof = prove(evidence, kind=kind, value=value, index=index)
    # INVARIANT: no challenger commits to a proof that the referee here does not take.
    if not check(proof):
        place = f"{kind.name.lower()} at element {index} of value {value}"
        raise ProofMalformed(f"the proof of a fault ({place}) does not convince the referee: nothing is sent")
    return FaultFound(kind=kind, value=value, index=index, proof=encode_proof(proof))


class ExactSearch:
    """`Search` against one's own run."""

    def __init__(self, model: CompiledModel, own: OwnRun) -> None:
        self._model, self._own = model, own
        self._tree = tree_levels(b"".join(own.trace.data_roots))

    def look(self, result: Result, shown: ShownTrace) -> Finding:
        """As `Search.look`."""
        own, subject = self._own, self._model.subject
        _check_case(self._model, result, shown, own.trace.input_root)
        if own.fits and result.trace_root == own.trace.root:
            shown.take_roots(own.trace.data_roots)
        if shown.tree is None:
            return _values(subject.value_count)
        if shown.tree.leaves != subject.value_count:
            return self._fault(result, shown, FaultKind.COUNT)
        inputs = len(subject.program.inputs)
        agreeing = len(own.trace.values)
        level, first = first_difference(shown.tree, self._tree, limit=agreeing) or (0, agreeing)
        # A payload that does not fit the model has no values of its own: then the very first one differs.
        if level == 0 and first < inputs:
            missing = shown.wanted_roots(range(inputs))
            return Wanted(targets=missing) if missing else self._fault(result, shown, FaultKind.INPUT_LINK)
        if level:
            return Wanted(targets=(Target(part=Part.VALUES, level=level, index=first),))
        if first < agreeing:
            return self._in_value(result, shown, first)
        return self._behind(result, shown)

    def _behind(self, result: Result, shown: ShownTrace) -> Finding:
        """The trace is one's own as far as that goes."""
        own, agreeing = self._own, len(self._own.trace.values)
        if own.unpayable is not None:
            return self._fault(result, shown, FaultKind.PORT, own.unpayable, agreeing=agreeing)
        if own.impossible is not None:
            value, index = own.impossible
            kind = self._model.program.value(value)
            missing = _unseen(shown, value, expected_bytes(kind), chunk=index * kind.dtype.itemsize // CHUNK_BYTES)
            if missing is not None:
                return Wanted(targets=(missing,))
            if shown.values[value].length != expected_bytes(kind):
                return self._fault(result, shown, FaultKind.LENGTH, (value, 0), agreeing=agreeing)
            return self._fault(result, shown, FaultKind.ELEMENT, (value, index), agreeing=agreeing)
        if own.trace.output_root != result.output_root:
            return self._fault(result, shown, FaultKind.OUTPUT_LINK, agreeing=agreeing)
        return NoFault(reason="the operator's run is our own, bit for bit")

    def _in_value(self, result: Result, shown: ShownTrace, value: int) -> Finding:
        """The first value that differs: of what it is computed, everything is one's own."""
        trace, theirs = self._own.trace, shown.values.get(value)
        length, levels = trace.values.length(value), trace.levels(value)
        depth = depth_of(chunk_count(length))
        if theirs is None:
            first = Target(part=Part.NODES, value=value, level=depth, index=0)
            return Wanted(targets=(first if depth > SHOWN_LEVELS or not length else _group(value, 0),))
        if theirs.length != length:
            return self._fault(result, shown, FaultKind.LENGTH, (value, 0), agreeing=value)
        stop = min(SHOWN_LEVELS, depth)
        level, index = first_difference(theirs.tree, levels, limit=theirs.tree.leaves, stop=stop) or (stop, 0)
        if level > stop:
            return Wanted(targets=(Target(part=Part.NODES, value=value, level=level, index=index),))
        if index * GROUP_CHUNKS not in theirs.chunks:
            return Wanted(targets=(_group(value, index),))
        element = self._first_element(theirs, value, index)
        return self._fault(result, shown, FaultKind.ELEMENT, (value, element), agreeing=value)

    def _first_element(self, theirs: ShownValue, value: int, group: int) -> int:
        start = group * GROUP_CHUNKS * CHUNK_BYTES
        shown = b"".join(theirs.chunks[number] for number in theirs.numbers(group))
        own = self._own.trace.read(value, start, start + len(shown))
        place = next(place for place, (left, right) in enumerate(zip(shown, own, strict=True)) if left != right)
        return (start + place) // self._model.program.value(value).dtype.itemsize

    def _fault(
        self, result: Result, shown: ShownTrace, kind: FaultKind, place: tuple[int, int] = (0, 0), *, agreeing: int = 0
    ) -> Finding:
        evidence = ShownEvidence(
            subject=self._model.subject,
            statement=statement_of(result),
            shown=shown,
            own=self._own.trace,
            own_tree=self._tree,
            agreeing=agreeing,
        )
        return found(evidence, kind=kind, value=place[0], index=place[1])


class BoundedSearch:
    """`Search` by audit: value after value, as soon as one has been shown as a whole."""

    def __init__(self, model: CompiledModel) -> None:
        self._model = model
        self._begin(ShownTrace(b""), None)

    def look(self, result: Result, shown: ShownTrace) -> Finding:
        """As `Search.look`; a trace that was looked at before is gone on with."""
        subject = self._model.subject
        _check_case(self._model, result, shown, result.input_root)
        if shown.tree is None:
            return _values(subject.value_count)
        evidence = ShownEvidence(subject=subject, statement=statement_of(result), shown=shown)
        if shown.tree.leaves != subject.value_count:
            return found(evidence, kind=FaultKind.COUNT)
        ports = [*range(len(subject.program.inputs)), *(output.value for output in subject.program.outputs)]
        missing = shown.wanted_roots(ports)
        if missing:
            return Wanted(targets=missing)
        broken = _broken_link(subject.program, shown, result)
        if broken is not None:
            return found(evidence, kind=broken)
        same = self._result == result and (shown is self._values.shown or all(map(shown.is_whole, range(self._next))))
        if not same:
            self._begin(shown, result)
        self._values.shown = shown
        return self._next_values(evidence)

    def _begin(self, shown: ShownTrace, result: Result | None) -> None:
        self._result, self._next = result, 0
        self._values = ShownValues(self._model.subject, shown)
        trace = Trace(subject=self._model.subject, values=self._values, data_roots=(), input_root=b"", output_root=b"")
        self._audit = ValueAudit(trace, self._model.checker, self._model.make_executor)

    def _next_values(self, evidence: ShownEvidence) -> Finding:
        shown, program, count = evidence.shown, self._model.program, self._model.subject.value_count
        while self._next < count:
            value = self._next
            expected = expected_bytes(program.value(value))
            if value in shown.values and shown.values[value].length != expected:
                return found(evidence, kind=FaultKind.LENGTH, value=value)
            if not shown.is_whole(value):
                return Wanted(targets=tuple(islice(self._missing(shown), _AHEAD)))
            fault = next(self._audit.faults(value), None)
            if fault is not None:
                return found(evidence, kind=fault.kind, value=fault.value, index=fault.index)
            self._next += 1
        return NoFault(reason="every element of the trace is admissible")

    def _missing(self, shown: ShownTrace) -> Iterator[Target]:
        for value in range(self._next, self._model.subject.value_count):
            known = shown.values.get(value)
            if known is not None:
                yield from (_group(value, group) for group in known.missing())
                continue
            expected = expected_bytes(self._model.program.value(value))
            if not expected:
                yield Target(part=Part.NODES, value=value)
            for group in range(-(-chunk_count(expected) // GROUP_CHUNKS)):
                yield _group(value, group)


def first_difference(
    tree: KnownTree, own: Sequence[bytes | memoryview], *, limit: int, stop: int = 0
) -> tuple[int, int] | None:
    """The first node of height ``stop`` in which a tree differs from one's own, of those over the first leaves.

    Where it has not been shown, the lowest known node over it, which is higher. None if there is none over the first
    ``limit`` leaves, of which one's own tree has no fewer.
    """

    def walk(level: int, index: int) -> tuple[int, int] | None:
        if index << level >= limit:
            return None
        if min((index + 1) << level, tree.leaves) <= limit and tree.known(level, index) == node_of(own, level, index):
            return None
        if level == stop or tree.node(level - 1, 2 * index) is None:
            return level, index
        return walk(level - 1, 2 * index) or walk(level - 1, 2 * index + 1)

    return walk(tree.depth, 0)


def _check_case(model: CompiledModel, result: Result, shown: ShownTrace, root: bytes) -> None:
    if result.model_id != model.model_id or result.input_root != root:
        raise ConfigurationError("the result is about another model or input")
    if shown.root != result.trace_root:
        raise ConfigurationError("what has been shown is of another trace than the result's")


def _broken_link(program: Program, shown: ShownTrace, result: Result) -> FaultKind | None:
    if shown.tree is None:
        return None
    known = shown.tree.known
    if linked_root(program.inputs, [known(0, value) for value in range(len(program.inputs))]) != result.input_root:
        return FaultKind.INPUT_LINK
    types = [TensorType(dtype=program.value(each.value).dtype, shape=each.shape) for each in program.outputs]
    if linked_root(types, [known(0, each.value) for each in program.outputs]) != result.output_root:
        return FaultKind.OUTPUT_LINK
    return None


def _unseen(shown: ShownTrace, value: int, length: int, *, chunk: int) -> Target | None:
    """What shows a chunk of a value, or that the value has another length; None where that has been shown."""
    known = shown.values.get(value)
    if known is not None and (known.length != length or chunk in known.chunks):
        return None
    return _group(value, chunk // GROUP_CHUNKS)


def _values(count: int) -> Wanted:
    return Wanted(targets=(Target(part=Part.VALUES, level=depth_of(count)),))


def _group(value: int, group: int) -> Target:
    return Target(part=Part.CHUNKS, value=value, index=group)
