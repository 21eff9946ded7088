"""What a watcher is measured against: a loop over web3 as anyone would write it first."""

from __future__ import annotations

import time

from web3 import Web3

from sworn.abi import interface
from sworn.codec.hashing import Domain, result_digest, result_of
from sworn.codec.structs import answer_to_abi, request_to_abi
from sworn.codec.tensors import decode_tensors, encode_tensors
from sworn.engine.protocol import RunLimits
from sworn.engine.serving import ServingEngine
from sworn.types import Answer
from watcher_load import feeding, signed
from watcher_stage import Stage


def plain_loop(stage: Stage, count: int, *, first_salt: int) -> float:
    """Results a second: run the model, sign, propose, wait for the receipt, go on to the next."""
    asks = signed(stage, count, first_salt=first_salt)
    web3 = Web3(Web3.HTTPProvider(stage.url))
    oracle = web3.eth.contract(
        address=Web3.to_checksum_address(stage.deployment.oracle),
        abi=list(interface("InferenceOracle").functions.values()),
    )
    domain = Domain(chain_id=stage.deployment.chain_id, oracle=stage.deployment.oracle)
    with feeding(stage, asks, per_s=None):
        pass
    web3.eth.wait_for_transaction_receipt(Web3.keccak(asks[-1].raw))
    schema = stage.model.schema
    with ServingEngine() as engine:
        engine.run(stage.model, decode_tensors(asks[0].payload, schema.inputs), limits=RunLimits())
        begun = time.monotonic()
        for ask in asks:
            run = engine.run(stage.model, decode_tensors(ask.payload, schema.inputs), limits=RunLimits())
            output = encode_tensors(run.outputs, schema.outputs)
            answer = Answer(operator=stage.operator.address, trace_root=bytes(32), output=output)
            result = result_of(ask.request, answer, chain_id=domain.chain_id, oracle=domain.oracle)
            signature = stage.result_signer.sign_digest(result_digest(result, domain))
            call = oracle.functions.propose(request_to_abi(ask.request), answer_to_abi(answer), signature)
            account = Web3.to_checksum_address(stage.plain.address)
            fields = call.build_transaction({"from": account, "nonce": web3.eth.get_transaction_count(account)})
            sent = web3.eth.send_raw_transaction(stage.plain.sign_transaction(dict(fields)))
            receipt = web3.eth.wait_for_transaction_receipt(sent)
            if receipt["status"] != 1:
                raise SystemExit("the plain loop's transaction reverted")
        return count / (time.monotonic() - begun)
