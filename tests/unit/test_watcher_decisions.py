from __future__ import annotations

import io
import json
from collections.abc import Generator
from dataclasses import replace

import pytest

from sworn.engine.protocol import IdentifiedModel, ModelSource, RunLimits
from sworn.errors import ArtifactTooLarge
from sworn.types import (
    ZERO_ADDRESS,
    ZERO_HASH,
    Address,
    Assurance,
    CallbackKind,
    FailureCode,
    Model,
    ModelId,
    Offer,
    Profile,
    Request,
    RequestId,
    RequestState,
    Schema,
    Status,
)
from sworn.watcher.inference import fetch_from
from sworn.watcher.jobs import Action, Job, JobStatus, Oath, decide
from sworn.watcher.logs import make_logger
from sworn.watcher.policy import Circumstances, Guards, ServedModel, refusal
from sworn.watcher.settings import LogFormat

OPERATOR = Address("0x" + "11" * 20)
REQUESTER = Address("0x" + "22" * 20)
DEADLINE = 10_000
WINDOW_S = 100

REQUEST = Request(
    model_id=ModelId(b"\x01" * 32),
    input_root=b"\x02" * 32,
    requester=REQUESTER,
    operator=OPERATOR,
    refund_to=REQUESTER,
    fee_wei=10**18,
    value_at_risk_wei=0,
    callback_gas=0,
    window_s=WINDOW_S,
    deadline=DEADLINE,
    assurance=Assurance.FINAL,
    salt=bytes(32),
)
JOB = Job(
    request_id=RequestId(b"\x03" * 32),
    request=REQUEST,
    input=b"\x01",
    block_number=1,
    block_hash=bytes(32),
    transaction_hash=bytes(32),
)
OATH = Oath(
    request_id=JOB.request_id,
    operator=OPERATOR,
    digest=b"\x04" * 32,
    output_root=bytes(32),
    trace_root=bytes(32),
    output=b"",
)
STATE = RequestState(
    status=Status.REQUESTED,
    pending=CallbackKind.NONE,
    round=0,
    has_barred=False,
    extension_s=0,
    proposed_at=0,
    result_tag=bytes(20),
)
OURS = replace(STATE, status=Status.PROPOSED, proposed_at=500, result_tag=OATH.digest[:20])
THEIRS = replace(OURS, result_tag=b"\x09" * 20)


@pytest.mark.parametrize(
    ("job", "state", "oath", "now", "action", "status"),
    [
        (JOB, STATE, None, 1, Action.RUN, JobStatus.SEEN),
        (JOB, STATE, None, DEADLINE, Action.RUN, JobStatus.SEEN),
        (JOB, STATE, None, DEADLINE + 1, Action.SETTLE, JobStatus.EXPIRED),
        (JOB, replace(STATE, extension_s=5), None, DEADLINE + 5, Action.RUN, JobStatus.SEEN),
        (JOB, replace(STATE, extension_s=5), None, DEADLINE + 6, Action.SETTLE, JobStatus.EXPIRED),
        (JOB, STATE, OATH, 1, Action.PROPOSE, JobStatus.ANSWERED),
        (replace(JOB, status=JobStatus.PROPOSING), STATE, OATH, 1, Action.PROPOSE, JobStatus.PROPOSING),
        (replace(JOB, status=JobStatus.FINALIZING), STATE, OATH, 1, Action.PROPOSE, JobStatus.ANSWERED),
        (replace(JOB, failure=FailureCode.BAD_INPUT), STATE, None, 1, Action.FAIL, JobStatus.FAILING),
        (JOB, OURS, OATH, 500 + WINDOW_S, Action.WAIT, JobStatus.PROPOSED),
        (JOB, OURS, OATH, 501 + WINDOW_S, Action.FINALIZE, JobStatus.PROPOSED),
        (JOB, THEIRS, OATH, 501 + WINDOW_S, Action.WAIT, JobStatus.OVERTAKEN),
        (JOB, THEIRS, None, 1, Action.WAIT, JobStatus.OVERTAKEN),
        (JOB, replace(OURS, status=Status.FINALIZED), OATH, 1, Action.SETTLE, JobStatus.FINALIZED),
        (JOB, replace(THEIRS, status=Status.FINALIZED), OATH, 1, Action.SETTLE, JobStatus.IGNORED),
        (JOB, replace(OURS, status=Status.DISPUTED), OATH, 1, Action.WAIT, JobStatus.DISPUTED),
        (JOB, replace(THEIRS, status=Status.DISPUTED), OATH, 1, Action.WAIT, JobStatus.OVERTAKEN),
        (JOB, replace(THEIRS, status=Status.DISPUTED), None, 1, Action.WAIT, JobStatus.OVERTAKEN),
        (JOB, replace(STATE, status=Status.EXPIRED), OATH, 1, Action.SETTLE, JobStatus.EXPIRED),
        (JOB, replace(STATE, status=Status.FAILED), None, 1, Action.SETTLE, JobStatus.FAILED),
        (JOB, replace(STATE, status=Status.REFUTED), OATH, 1, Action.SETTLE, JobStatus.REFUTED),
        (JOB, replace(STATE, status=Status.NONE), OATH, 1, Action.WAIT, JobStatus.SEEN),
    ],
)
def test_decision_for_chain_state_follows_the_protocol(
    job: Job, state: RequestState, oath: Oath | None, now: int, action: Action, status: JobStatus
) -> None:
    """What to do follows from the chain's state and its time, to the second."""
    decision = decide(job, state=state, oath=oath, now=now)
    assert (decision.action, decision.status) == (action, status)


def test_decision_for_waiting_window_names_the_first_second_after_it() -> None:
    """A job that waits for its window is not looked at before its first chance to end."""
    assert decide(JOB, state=OURS, oath=OATH, now=501).due_at == 501 + WINDOW_S


@pytest.mark.parametrize(("now", "due_at"), [(501, 561), (590, 601), (600, 601), (601, 661), (9_000, 9_060)])
def test_decision_for_result_of_another_looks_again_at_measured_times(now: int, due_at: int) -> None:
    """A result that nobody finalizes is not looked at again in every turn."""
    assert decide(JOB, state=THEIRS, oath=None, now=now).due_at == due_at


MODEL = ServedModel(
    identified=IdentifiedModel(
        source=ModelSource(artifact=b""),
        model=Model(
            version=1,
            profile=Profile.EXACT,
            artifact_hash=ZERO_HASH,
            program_root=ZERO_HASH,
            weights_root=ZERO_HASH,
            io_hash=ZERO_HASH,
            limits_hash=ZERO_HASH,
        ),
        model_id=REQUEST.model_id,
        schema=Schema(inputs=(), outputs=()),
    ),
    price_wei=10**18,
    max_value_at_risk_wei=100,
    max_window_s=WINDOW_S,
    max_callback_gas=1_000,
    limits=RunLimits(),
)
PLAIN = Guards()
FINE = Circumstances(
    now=1_000,
    deadline=DEADLINE,
    gas_price_wei=1,
    free_stake_wei=100,
    bond_wei=100,
    offer=Offer(active=True, price_wei=0, max_value_at_risk_wei=0, max_window_s=0, max_callback_gas=0),
    barred=False,
)


def _refused(
    job: Job = JOB, *, model: ServedModel | None = MODEL, guards: Guards = PLAIN, circumstances: Circumstances = FINE
) -> tuple[str, bool] | None:
    found = refusal(job, model=model, guards=guards, operator=OPERATOR, circumstances=circumstances)
    return None if found is None else (found.reason, found.for_now)


def test_policy_for_request_exactly_on_terms_answers() -> None:
    """Every bound is inclusive."""
    job = replace(JOB, request=replace(REQUEST, value_at_risk_wei=100, callback_gas=1_000))
    left = replace(FINE, now=DEADLINE - Guards().min_time_left_s)
    assert _refused(job, circumstances=left) is None


@pytest.mark.parametrize(
    ("changes", "guards", "circumstances", "word", "for_now"),
    [
        ({"operator": REQUESTER}, Guards(), FINE, "names", False),
        ({"fee_wei": 10**18 - 1}, Guards(), FINE, "price", False),
        ({"value_at_risk_wei": 101}, Guards(), FINE, "value at risk", False),
        ({"window_s": WINDOW_S + 1}, Guards(), FINE, "window", False),
        ({"callback_gas": 1_001}, Guards(), FINE, "callback", False),
        ({}, Guards(deny_requesters=frozenset({REQUESTER})), FINE, "deny", False),
        ({}, Guards(allow_requesters=frozenset({OPERATOR})), FINE, "allow", False),
        ({}, Guards(max_input_bytes=0), FINE, "input", False),
        ({}, Guards(), replace(FINE, now=DEADLINE - 29), "deadline", True),
        ({}, Guards(), replace(FINE, gas_price_wei=10**13), "profit", True),
        ({}, Guards(), replace(FINE, gas_price_wei=10**15), "profit", False),
        ({}, Guards(min_profit_wei=10**18), FINE, "profit", False),
        ({}, Guards(), replace(FINE, barred=True), "bars", False),
        ({}, Guards(), replace(FINE, bond_wei=101), "bond", True),
        ({"operator": ZERO_ADDRESS}, Guards(), replace(FINE, offer=replace(FINE.offer, active=False)), "offer", True),
    ],
)
def test_policy_for_request_off_terms_refuses_with_reason(
    changes: dict[str, object], guards: Guards, circumstances: Circumstances, word: str, for_now: bool
) -> None:
    """One step beyond a bound is refused, with a reason, for ever or for now."""
    job = replace(JOB, request=replace(REQUEST, **changes))  # type: ignore[arg-type]
    found = _refused(job, guards=guards, circumstances=circumstances)
    assert found is not None
    assert word in found[0]
    assert found[1] is for_now


def test_policy_for_unknown_model_refuses() -> None:
    """A model that is not served is refused before anything else."""
    assert _refused(model=None) == ("the model is not served here", False)


class EndlessFetcher:
    """A `Fetcher` that never stops sending, and notes when it is closed."""

    schemes = frozenset({"https"})

    def __init__(self, chunks: int) -> None:
        self.chunks = chunks
        self.closed = False

    def open(self, uri: str) -> Generator[bytes, None, None]:
        try:
            for _ in range(self.chunks):
                yield b"0123456789"
        finally:
            self.closed = True


def test_input_fetched_beyond_its_limit_is_cut_off() -> None:
    """No more is read than allowed, and the connection is let go."""
    fetcher = EndlessFetcher(10**12)
    with pytest.raises(ArtifactTooLarge):
        fetch_from(fetcher)("https://inputs.example", 99)
    assert fetcher.closed
    assert len(fetch_from(EndlessFetcher(10))("https://inputs.example", 100)) == 100


@pytest.mark.parametrize("form", list(LogFormat))
def test_log_entries_of_any_format_hide_secrets(form: LogFormat) -> None:
    """Secrets by name and URLs by form are masked, in values and in tracebacks; bytes are hex."""
    stream = io.StringIO()
    log = make_logger(stream, form=form)
    try:
        raise ValueError("no answer from https://node.example/v3/hidden")
    except ValueError:
        log.exception(
            "failed",
            password="hidden",
            nested={"token": "hidden", "url": ["http://u:hidden@node.example"]},
            request_id=b"\xab",
        )
    assert "hidden" not in stream.getvalue()
    assert "0xab" in stream.getvalue()
    assert "node.example" in stream.getvalue()


def test_log_below_level_writes_nothing() -> None:
    """The level filters, and a JSON entry is one line."""
    stream = io.StringIO()
    log = make_logger(stream, level="warning")
    log.info("quiet")
    log.warning("loud", block=3)
    assert [json.loads(line)["block"] for line in stream.getvalue().splitlines()] == [3]
