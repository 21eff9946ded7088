from __future__ import annotations

import pytest
from eth_account import Account as KeyAccount
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from tests.support.accounts import Account
from tests.support.chain import Chain, Contract
from tests.support.scene import Scene
from tests.support.system import System

from sworn.codec.hashing import failure_digest, io_hash, model_id, request_id, result_digest, result_typed_data
from sworn.codec.structs import request_to_abi
from sworn.types import (
    Address,
    Assurance,
    DType,
    Failure,
    FailureCode,
    Model,
    ModelId,
    Profile,
    Request,
    RequestId,
    Result,
    Schema,
    TensorSpec,
)

_SETTINGS = settings(
    max_examples=25, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

_word = st.binary(min_size=32, max_size=32)
_address = st.binary(min_size=20, max_size=20).map(lambda raw: Address("0x" + raw.hex()))


def _uint(bits: int) -> st.SearchStrategy[int]:
    return st.integers(0, 2**bits - 1)


_requests = st.builds(
    Request,
    model_id=_word.map(ModelId),
    input_root=_word,
    requester=_address,
    operator=_address,
    refund_to=_address,
    fee_wei=_uint(96),
    value_at_risk_wei=_uint(96),
    callback_gas=_uint(32),
    window_s=_uint(32),
    deadline=_uint(40),
    assurance=st.sampled_from(Assurance),
    salt=_word,
)
_results = st.builds(
    Result,
    request_id=_word.map(RequestId),
    model_id=_word.map(ModelId),
    input_root=_word,
    output_root=_word,
    trace_root=_word,
    operator=_address,
    expiry=_uint(64),
)
_failures = st.builds(Failure, request_id=_word.map(RequestId), operator=_address, code=st.sampled_from(FailureCode))
_models = st.builds(
    Model,
    version=_uint(16),
    profile=st.sampled_from(Profile),
    artifact_hash=_word,
    program_root=_word,
    weights_root=_word,
    io_hash=_word,
    limits_hash=_word,
)
_specs = st.builds(
    TensorSpec,
    name=st.text(max_size=40),
    dtype=st.sampled_from(DType),
    shape=st.lists(st.none() | st.integers(0, 2**32 - 1), max_size=5).map(tuple),
)
_schemas = st.builds(
    Schema, inputs=st.lists(_specs, max_size=3).map(tuple), outputs=st.lists(_specs, max_size=3).map(tuple)
)


@pytest.fixture
def harness(chain: Chain, deployer: Account) -> Contract:
    """The hashes of `contracts/types` from outside."""
    return chain.deploy("IdHarness", by=deployer)


@seed(1)
@_SETTINGS
@given(request=_requests)
def test_request_id_equals_contracts(system: System, request: Request) -> None:
    """Both languages name a request alike."""
    domain = system.domain

    expected = request_id(request, chain_id=domain.chain_id, oracle=domain.oracle)

    assert system.oracle.call("requestIdOf", request_to_abi(request)) == expected


@seed(2)
@_SETTINGS
@given(request=_requests, oracle=_address)
def test_request_id_binds_oracle(harness: Contract, request: Request, oracle: Address) -> None:
    """One request at two deployments has two ids."""
    chain_id = harness.chain.node.chain_id

    assert harness.call("requestIdOf", request, oracle) == request_id(request, chain_id=chain_id, oracle=oracle)


@seed(3)
@_SETTINGS
@given(result=_results)
def test_result_digest_equals_contracts(system: System, result: Result) -> None:
    """What is signed in Python is what is checked on chain."""
    assert system.oracle.call("digestOf", result) == result_digest(result, system.domain)


@seed(4)
@_SETTINGS
@given(failure=_failures)
def test_failure_digest_equals_contracts(system: System, failure: Failure) -> None:
    """The same for failures."""
    assert system.oracle.call("failureDigestOf", failure) == failure_digest(failure, system.domain)


@seed(5)
@_SETTINGS
@given(model=_models)
def test_model_id_equals_contracts(harness: Contract, model: Model) -> None:
    """Anyone recomputes a model's id."""
    assert harness.call("modelIdOf", model) == model_id(model)


@seed(6)
@_SETTINGS
@given(schema=_schemas)
def test_io_hash_equals_contracts(harness: Contract, schema: Schema) -> None:
    """The schema's hash is what `abi.encode` gives."""
    inputs, outputs = (
        [(spec.name, int(spec.dtype), [-1 if size is None else size for size in spec.shape]) for spec in side]
        for side in (schema.inputs, schema.outputs)
    )

    assert harness.call("ioHashOf", inputs, outputs) == io_hash(schema)


def test_domain_is_readable_on_chain(scene: Scene, system: System) -> None:
    """ERC-5267: a wallet can find out what it signs for."""
    fields, name, version, chain_id, contract, salt, extensions = system.oracle.call("eip712Domain")

    assert (fields, name, version) == (b"\x0f", "sworn", "1")
    assert (chain_id, contract) == (system.domain.chain_id, system.oracle.address)
    assert (salt, extensions) == (bytes(32), ())


def test_eip712_signature_of_wallet_equals_own(scene: Scene, operator: Account) -> None:
    """A wallet that is shown the typed data signs the digest that the contracts check."""
    result = scene.make_offchain_result()
    signer = scene.cast.signers[operator.address]

    signed = KeyAccount.sign_typed_data(signer.key, full_message=result_typed_data(result, scene.system.domain))

    assert bytes(signed.signature) == scene.sign(result)
