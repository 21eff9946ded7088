"""The demo's first chapters: contracts, an operator, and a prediction asked for from Python."""

from __future__ import annotations

import math
from typing import Final

from sworn.chain.deployment_files import CONTRACTS, contract_addresses
from sworn.codec.hashing import Domain, recover_signer, result_digest, result_of
from sworn.engine.identification import model_id
from sworn.testing.demo_stage import ETHER, Stage
from sworn.testing.models import example_rows, load_model, model_card
from sworn.types import Answer, RequestId, ResultId, Status

STAKE_WEI: Final = 32 * ETHER
#: Model by its part in the story, with the operator's price.
MODELS: Final = {"diabetes_progression": ETHER // 2000, "breast_cancer_risk": ETHER // 1000}
MAX_VALUE_AT_RISK_WEI: Final = 8 * ETHER
MAX_WINDOW_S: Final = 86_400
MAX_CALLBACK_GAS: Final = 400_000
WINDOW_S: Final = 600


def deployment(stage: Stage) -> None:
    """Every contract, without an owner."""
    summary = f"{len(CONTRACTS)} contracts, no owner, no proxy, no pause: nobody can change them from now on."
    with stage.chapter("The contracts", summary):
        stage.open()
        stage.tell()
        for contract, address in contract_addresses(stage.oracle.deployment).items():
            code = stage.ledger.code(address)
            stage.check(bool(code), f"{contract} has code")
            stage.fact(contract, address)


def operator(stage: Stage) -> None:
    """An operator with a stake, a signer and offers for two models."""
    summary = "Somebody puts up a stake, names the key that signs results, and offers two models at a price."
    with stage.chapter("An operator", summary):
        facade = stage.client("operator").operator
        facade.register(stake_wei=STAKE_WEI, metadata_uri="https://operator.example")
        facade.authorize_signer(stage.signer("signer").address)
        account = facade.account()
        stage.check(account.registered and account.free_wei == STAKE_WEI, "the operator's whole stake is free")
        stage.fact("operator", stage.signer("operator").address)
        stage.fact("result_signer", stage.signer("signer").address)
        stage.fact("stake_wei", account.stake_wei)
        for name, price_wei in MODELS.items():
            _offer(stage, name, price_wei)


def _offer(stage: Stage, name: str, price_wei: int) -> None:
    artifact, card = load_model(name), model_card(name)
    stage.say(f"{name}: {card['estimator']}, {card['metric']} {card['score']} on {card['held_out_rows']} unseen rows")
    registered = stage.oracle.serve(
        artifact,
        price_wei=price_wei,
        max_value_at_risk_wei=MAX_VALUE_AT_RISK_WEI,
        max_window_s=MAX_WINDOW_S,
        max_callback_gas=MAX_CALLBACK_GAS,
    )
    record = stage.client("stranger").model(registered)
    stage.check(record.model_id == model_id(artifact), "the id on chain is the one recomputed from the .onnx file")
    offer = stage.client("stranger").operator.offer(registered, operator=stage.signer("operator").address)
    stage.check(offer.active and offer.price_wei == price_wei, "the offer is posted")
    stage.fact(f"{name}_model_id", registered, told_as="model_id")
    stage.fact(f"{name}_profile", record.model.profile, told_as="profile")
    stage.fact(f"{name}_price_wei", offer.price_wei, told_as="price_wei")


def prediction(stage: Stage) -> None:
    """A person asks from Python and gets a signed, then final answer."""
    summary = "A Python program asks for one prediction on a real row; the watcher answers under oath."
    with stage.chapter("A prediction, asked for from Python", summary):
        row = example_rows("diabetes_progression")[0]
        client = stage.client("requester")
        handle = client.request(
            model=load_model("diabetes_progression"),
            inputs=dict(row.inputs),
            window=WINDOW_S,
            value_at_risk=ETHER // 10,
        )
        stage.fact("input", row.inputs["features"])
        stage.fact("request_id", handle.request_id)
        stage.say("The watcher sees the request, runs the model, signs the result and proposes it:")
        stage.oracle.answer()
        proposed = handle.wait(until="proposed", timeout=5)
        stage.check(not proposed.final and proposed.status is Status.PROPOSED, "the result is proposed, not final")
        stage.fact("result_id", proposed.result_id)
        _verify(stage, proposed.result_id, handle.request_id)
        stage.fact("signature", proposed.signature, text=f"verified: by {proposed.signer}")
        stage.fact("bond_wei", stage.client("stranger").operator.account(proposed.operator).locked_wei)
        stage.say(f"The challenge window of {WINDOW_S} s passes without an objection; the watcher finalizes:")
        stage.oracle.fulfil()
        final = handle.wait(timeout=5)
        stage.tell()
        value = float(final["progression"][0, 0])
        stage.check(final.final, "the result is final")
        stage.check(
            math.isclose(value, float(row.outputs["progression"][0, 0]), abs_tol=1e-3), "scikit-learn says the same"
        )
        stage.fact("progression", round(value, 3))
        stage.fact("scikit_learn_says", round(float(row.outputs["progression"][0, 0]), 3))
        stage.fact("truth_one_year_later", row.target)
        earned = stage.client("operator").operator.account().earned_wei
        stage.check(earned == MODELS["diabetes_progression"], "the operator has earned its price")
        stage.fact("operator_earned_wei", earned)


def _verify(stage: Stage, result_id: ResultId, request_id: RequestId) -> None:
    """What the client has verified, once more by hand: digest and signature from the event alone."""
    where = stage.oracle.deployment
    proposal, request = stage.proposal_of(request_id)
    answer = Answer(operator=proposal["operator"], trace_root=proposal["traceRoot"], output=proposal["output"])
    result = result_of(request, answer, chain_id=where.chain_id, oracle=where.oracle)
    digest = result_digest(result, Domain(chain_id=where.chain_id, oracle=where.oracle))
    signer = recover_signer(digest, proposal["signature"])
    stage.check(digest == result_id == proposal["resultId"], "the EIP-712 digest recomputed here is the one on chain")
    stage.check(signer == stage.signer("signer").address, "the operator's signer signed it")
