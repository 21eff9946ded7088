"""The demo's crime: two answers sworn for one request, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from sworn.client import RequestHandle
from sworn.codec.hashing import Domain, result_digest, result_of
from sworn.codec.structs import request_to_abi, result_to_abi
from sworn.codec.tensors import decode_payload, encode_payload
from sworn.errors import RequestRefuted
from sworn.testing.demo_opening import WINDOW_S
from sworn.testing.demo_stage import ETHER, Stage, StoryBroken
from sworn.testing.models import example_rows, load_model
from sworn.types import Address, Answer, Request, RequestId, Status

VALUE_AT_RISK_WEI: Final = 2 * ETHER
#: Where the dispute game burns what nobody gets.
BURN_ADDRESS: Final = Address("0x000000000000000000000000000000000000dEaD")
#: By how much the second answer differs.
LIE: Final = np.float32(100.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Purse:
    """Everybody's money, in wei, as the contracts have it."""

    stake_wei: int
    locked_wei: int
    reward_wei: int
    compensation_wei: int
    refund_wei: int
    burnt_wei: int


def equivocation(stage: Stage) -> None:
    """A stranger with nothing but two signatures convicts the operator."""
    summary = "The operator's key signs two different answers for one request. A stranger shows both to the contracts."
    with stage.chapter("Two answers under one oath", summary):
        row = example_rows("diabetes_progression")[2]
        handle = stage.client("requester").request(
            model=load_model("diabetes_progression"),
            inputs=dict(row.inputs),
            window=WINDOW_S,
            value_at_risk=VALUE_AT_RISK_WEI,
        )
        stage.fact("request_id", handle.request_id)
        stage.oracle.answer()
        first, second = _two_statements(stage, handle.request_id, handle.request)
        before = _purse(stage)
        stage.say("The stranger has no stake, no role and no permission; the two signatures are the whole proof:")
        receipt = stage.send(
            "stranger",
            "DisputeGame",
            stage.oracle.deployment.dispute_game,
            "proveEquivocation",
            first,
            request_to_abi(handle.request),
            second,
            request_to_abi(handle.request),
        )
        shared = stage.event(receipt, "DisputeGame", "SlashShared")
        after = _purse(stage)
        stage.tell()
        _tell_purses(stage, before, after)
        _check_shares(stage, before, after, shared, handle.request.fee_wei)
        _pay_out(stage, after)
        _check_ending(stage, handle)


def _check_ending(stage: Stage, handle: RequestHandle) -> None:
    try:
        handle.wait(timeout=5)
    except RequestRefuted as error:
        stage.fact("client_raises", type(error).__name__)
    else:
        raise StoryBroken("a refuted request gave a result")
    oracle, operator = stage.oracle.deployment.oracle, stage.signer("operator").address
    barred = stage.view("InferenceOracle", oracle, "isBarred", handle.request_id, operator)
    stage.check(barred, "the operator is barred from the request")
    stage.oracle.answer()
    stage.check(handle.status().status is Status.REFUTED, "the refuted answer does not come back")


def _two_statements(stage: Stage, request_id: RequestId, request: Request) -> tuple[Any, Any]:
    """The proposed result with its signature, and another one that the same key signs."""
    proposal, _ = stage.proposal_of(request_id)
    where = stage.oracle.deployment
    honest = decode_payload(proposal["output"])
    statements = []
    for arrays in (honest, [honest[0] + LIE]):
        answer = Answer(operator=proposal["operator"], trace_root=proposal["traceRoot"], output=encode_payload(arrays))
        result = result_of(request, answer, chain_id=where.chain_id, oracle=where.oracle)
        digest = result_digest(result, Domain(chain_id=where.chain_id, oracle=where.oracle))
        statements.append((result_to_abi(result), stage.signer("signer").sign_digest(digest)))
    stage.check(statements[0][1] == proposal["signature"], "the first signature is the one on chain")
    stage.fact("answer_on_chain", round(float(honest[0][0, 0]), 3))
    stage.fact("answer_told_elsewhere", round(float((honest[0] + LIE)[0, 0]), 3))
    return statements[0], statements[1]


def _purse(stage: Stage) -> Purse:
    account = stage.client("operator").operator.account()
    client = stage.client("requester")
    return Purse(
        stake_wei=account.stake_wei,
        locked_wei=account.locked_wei,
        reward_wei=stage.client("stranger").reward(),
        compensation_wei=client.reward(),
        refund_wei=client.credit(),
        burnt_wei=stage.ledger.balance(BURN_ADDRESS),
    )


def _tell_purses(stage: Stage, before: Purse, after: Purse) -> None:
    labels = (
        ("operator's stake", before.stake_wei, after.stake_wei),
        ("… of it locked behind the answer", before.locked_wei, after.locked_wei),
        ("stranger's reward (30 %)", before.reward_wei, after.reward_wei),
        ("requester's compensation (50 %)", before.compensation_wei, after.compensation_wei),
        ("requester's fee, refunded", before.refund_wei, after.refund_wei),
        ("burnt (20 %)", before.burnt_wei, after.burnt_wei),
    )
    rows = [(label, old, new, new - old) for label, old, new in labels]
    stage.narrator.table("what it cost", ("", "before", "after", "change"), rows)


def _check_shares(stage: Stage, before: Purse, after: Purse, shared: Any, fee_wei: int) -> None:
    slashed = before.stake_wei - after.stake_wei
    stage.check(slashed == 2 * VALUE_AT_RISK_WEI, "twice the value at risk is slashed")
    stage.check(before.locked_wei - after.locked_wei == slashed, "the bond behind the answer pays first")
    stage.check(after.reward_wei - before.reward_wei == slashed * 30 // 100, "the stranger gets 30 %")
    stage.check(after.compensation_wei - before.compensation_wei == slashed * 50 // 100, "the requester gets 50 %")
    stage.check(after.burnt_wei - before.burnt_wei == slashed * 20 // 100, "20 % are burnt")
    stage.check(after.refund_wei - before.refund_wei == fee_wei, "the fee is refunded")
    stage.check(shared["prover"] == stage.signer("stranger").address, "the stranger is the prover")
    stage.check(shared["victim"] == stage.signer("requester").address, "the requester is the victim")
    stage.fact("slashed_wei", slashed)
    stage.fact("prover_reward_wei", shared["rewardWei"])
    stage.fact("victim_compensation_wei", shared["compensationWei"])
    stage.fact("burnt_wei", shared["burntWei"])


def _pay_out(stage: Stage, owed: Purse) -> None:
    for role, amount_wei in (("stranger", owed.reward_wei), ("requester", owed.compensation_wei)):
        before = stage.balance(role)
        receipt = stage.client(role).withdraw_reward()
        cost = receipt.gas_used * receipt.effective_gas_price
        stage.check(stage.balance(role) - before + cost == amount_wei, f"the {role} is paid")
    stage.client("requester").withdraw()
    stage.tell()
