from __future__ import annotations

import pytest
from tests.support.assertions import assert_emitted
from tests.support.chain import Chain
from tests.support.long_contractions import convolution
from tests.support.trial import Trial, bring, falsified, open_courtroom

import sworn
from sworn.testing import gallery
from sworn.types import Status, Tensors

#: What a whole dispute may cost its challenger and its operator together, and in how many transactions.
DISPUTE_GAS, CONVOLUTION_GAS, TRANSACTIONS = 800_000, 2_500_000, 5


def accuse(chain: Chain, artifact: bytes, inputs: Tensors, *, profile: str) -> Trial:
    """An operator's answer in which one output element is wrong by half or double; the first bit where any counts."""
    model = sworn.compile_model(artifact, profile=profile)
    honest = model.trace(inputs)
    value = model.program.outputs[-1].value
    bit = 1 << 23 if profile == "bounded" else 1
    lie = falsified(honest, value=value, index=0, bits=honest.bits(value, 0) ^ bit)
    return bring(open_courtroom(chain), model, inputs, lie, value=value, index=0)


def convict(trial: Trial, *, gas: int) -> None:
    """Plays the dispute to its end, within its gas and number of transactions."""
    court, proof = trial.court, trial.proof
    receipts = trial.play()

    prover = court.scene.cast.challenger
    assert_emitted(receipts["prove_fault"], "FaultProven", prover=prover, value=proof.value, index=proof.index)
    assert court.scene.state_of(court.request).status is Status.REFUTED
    assert court.reward_of(prover) > 0
    assert len(receipts) <= TRANSACTIONS
    total = sum(receipt.gas_used for receipt in receipts.values())
    assert total <= gas, total


@pytest.mark.parametrize("profile", ["exact", "bounded"])
@pytest.mark.parametrize("name", ["logistic", "mlp", "forest"])
def test_false_answer_of_real_model_is_convicted_by_one_element(chain: Chain, name: str, profile: str) -> None:
    """The operator answers with one wrong element; a challenger that recomputes the model proves it to the referee."""
    convict(accuse(chain, gallery.load(name), gallery.rows(name)[0].inputs, profile=profile), gas=DISPUTE_GAS)


def test_false_element_of_long_convolution_is_convicted_within_its_gas(chain: Chain) -> None:
    """A sum of 4,608 products is shown and computed again in one transaction."""
    artifact, inputs = convolution()
    convict(accuse(chain, artifact, inputs, profile="exact"), gas=CONVOLUTION_GAS)
