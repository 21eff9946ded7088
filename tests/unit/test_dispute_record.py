from __future__ import annotations

from typing import Any

import pytest
from tests.support.searching import payload_of, result_with
from tests.support.subjects import compiled, corrupted, every_rule, random_inputs

from sworn.codec.dispute_structs import encode_disclosure, target_to_abi
from sworn.dispute.disclosure import show
from sworn.dispute.queries import DisputeEvent
from sworn.dispute.record import asked_by, demands_of, shown_in
from sworn.dispute.search import FaultFound, Wanted, search_of
from sworn.types import Address, Part, ResultId, Target
from sworn.verification import CompiledModel, Trace

ME, OTHER = Address("0x" + "0a" * 20), Address("0x" + "0b" * 20)
RESULT_ID = ResultId(b"\x01" * 32)
ROOTS = Target(part=Part.VALUES, level=4)
CHUNKS = Target(part=Part.CHUNKS, value=8)


@pytest.fixture(scope="module")
def model() -> CompiledModel:
    """A program with a step of every rule."""
    return compiled(*every_rule())


@pytest.fixture(scope="module")
def lie(model: CompiledModel) -> Trace:
    """A run with one wrong element."""
    honest = model.trace(random_inputs(model))
    return corrupted(honest, 8, 3, honest.bits(8, 3) ^ 1)


def event(name: str, **arguments: Any) -> DisputeEvent:
    """Something that has happened."""
    return DisputeEvent(name=name, result_id=RESULT_ID, arguments=arguments, block_number=1, transaction_hash=bytes(32))


def demanded(target: Target, *, by: Address = ME, number: int = 1) -> DisputeEvent:
    """A demand, due at 100 and more."""
    told = {"demandId": bytes([number]) * 32, "challenger": by, "dueAt": 100 + number, "priceWei": 1}
    return event("Demanded", target=target_to_abi(target), **told)


def disclosed(trace: Trace, target: Target, *, number: int = 1) -> DisputeEvent:
    """Its answer."""
    shown = encode_disclosure(show(trace, target))
    return event("Disclosed", demandId=bytes([number]) * 32, challenger=ME, disclosure=shown)


def test_demands_wait_until_they_are_answered(lie: Trace) -> None:
    """Everybody's; what an account has asked for stays asked for."""
    events = [demanded(ROOTS, by=OTHER), demanded(CHUNKS, number=2), disclosed(lie, ROOTS)]
    (waiting,) = demands_of(events)
    assert (waiting.challenger, waiting.target, waiting.due_at) == (ME, CHUNKS, 102)
    assert asked_by([*events, disclosed(lie, CHUNKS, number=2)], ME) == {CHUNKS}
    assert asked_by(events, OTHER) == {ROOTS}


def test_record_of_a_dispute_leads_to_the_fault_whoever_demanded(model: CompiledModel, lie: Trace) -> None:
    """Another challenger's answers count as one's own do."""
    search, result = search_of(model, payload_of(model, random_inputs(model))), result_with(lie)
    events = [demanded(ROOTS, by=OTHER), disclosed(lie, ROOTS)]
    assert isinstance(search.look(result, shown_in(events, lie.root)), Wanted)
    events += [demanded(CHUNKS, by=OTHER, number=2), disclosed(lie, CHUNKS, number=2)]
    found = search.look(result, shown_in(events, lie.root))
    assert isinstance(found, FaultFound) and (found.value, found.index) == (8, 3)


def test_record_with_what_cannot_be_read_is_read_without_it(model: CompiledModel, lie: Trace) -> None:
    """Roots of another trace, answers to nobody, garbage, parts of the model: each is passed over, and told of."""
    garbage = event("Disclosed", demandId=b"\x01" * 32, challenger=ME, disclosure=b"\x01" * 64)
    events = [
        event("TraceCommitted", operator=OTHER, traceRoot=lie.root, dataRoots=[bytes(32)]),
        disclosed(lie, ROOTS, number=9),
        demanded(ROOTS),
        garbage,
        demanded(Target(part=Part.STEPS), number=3),
        event("Disclosed", demandId=b"\x03" * 32, challenger=ME, disclosure=b""),
        demanded(CHUNKS, number=2),
        disclosed(lie, CHUNKS, number=2),
    ]
    shown = shown_in(events, lie.root)
    assert len(shown.refused) == 3
    assert shown.is_whole(8) and not shown.is_whole(7)


def test_inline_roots_in_the_record_show_every_value(lie: Trace) -> None:
    """Nothing has to be demanded for them."""
    roots = event("TraceCommitted", operator=OTHER, traceRoot=lie.root, dataRoots=list(lie.data_roots))
    shown = shown_in([roots], lie.root)
    assert [shown.data_root(value) for value in range(len(lie.data_roots))] == list(lie.data_roots)
    assert shown.refused == [] and shown.wanted_roots(range(14)) == ()
