from __future__ import annotations

import numpy as np
import pytest
from tests.support.accounts import Account, funded_accounts
from tests.support.assertions import assert_emitted
from tests.support.chain import Chain
from tests.support.court import SALT, Court
from tests.support.referee_chain import RULES
from tests.support.scene import set_scene
from tests.support.system import deploy_system

import sworn
from sworn.codec.tensors import encode_tensors
from sworn.referee import encode_proof
from sworn.testing import gallery
from sworn.types import ZERO_HASH, Answer, Status
from sworn.verification import CompiledModel, Trace

#: What a whole dispute may cost its challenger and its operator together.
DISPUTE_GAS = 800_000


def lie_about(model: CompiledModel, honest: Trace) -> Trace:
    """The same run with one output element that is a unit in the last place off."""
    value = model.program.outputs[-1].value
    moved = honest.values[value].copy()
    flat = moved.reshape(-1).view(f"u{moved.itemsize}")
    flat[0] ^= 1
    values = [moved if number == value else np.asarray(each) for number, each in enumerate(honest.values)]
    return Trace.of(model.subject, values)


@pytest.mark.parametrize("name", ["logistic", "mlp", "forest"])
def test_false_answer_of_real_model_is_convicted_by_one_element(chain: Chain, deployer: Account, name: str) -> None:
    """The operator answers with one wrong bit; a challenger that recomputes the model proves it to the real referee."""
    referee = chain.deploy("Referee", *(chain.deploy(rule, by=deployer) for rule in RULES), by=deployer)
    scene = set_scene(deploy_system(chain, deployer=deployer, referee=referee), funded_accounts())
    challenger = scene.cast.challenger
    model = sworn.compile_model(gallery.load(name))
    scene.system.model_registry.send("register", model.model, by=deployer)
    inputs = gallery.rows(name)[0].inputs
    lie = lie_about(model, model.trace(inputs))

    request = scene.make_request(model_id=model.model_id, input_root=lie.input_root)
    scene.send_request(request, payload=encode_tensors(inputs, model.schema.inputs))
    output = encode_tensors(lie.outputs, model.schema.outputs)
    answer = Answer(operator=scene.cast.operator.address, trace_root=ZERO_HASH, output=output)
    scene.propose(request, answer)
    court = Court(scene=scene, result=scene.result_of(request, answer), request=request)
    assert court.result.output_root == lie.output_root

    receipts = [court.open(by=challenger)]
    roots = (court.result, list(lie.data_roots), court.sworn_with(lie.root))
    receipts.append(court.game.send("commitTraceRoots", *roots, by=scene.cast.stranger))
    fault = model.audit(lie)[0]
    receipts.append(court.commit_fault(by=challenger, kind=fault.kind, value=fault.value, index=fault.index))
    court.ripen()
    proof = encode_proof(fault.proof())
    receipts.append(court.prove(by=challenger, trace_root=lie.root, proof=proof, salt=SALT))
    court.settle()
    receipts.append(court.claim(challenger))

    assert_emitted(receipts[3], "FaultProven", prover=challenger, value=fault.value, index=fault.index)
    assert scene.state_of(request).status is Status.REFUTED
    total = sum(receipt.gas_used for receipt in receipts)
    assert total <= DISPUTE_GAS, total
