from __future__ import annotations

import pytest
from tests.support.accounts import Account
from tests.support.assertions import assert_emitted, assert_silent, reverts
from tests.support.chain import Chain, Contract
from tests.support.scene import FEE_WEI, Scene
from tests.support.system import System

from sworn.codec.hashing import failure_digest
from sworn.types import CallbackKind, Failure, FailureCode, RequestId, Status


@pytest.mark.parametrize("code", list(FailureCode))
def test_fail_by_named_operator_ends_and_refunds(
    scene: Scene, operator: Account, requester: Account, code: FailureCode
) -> None:
    """A signed failure ends the request: no answer, no fee."""
    request = scene.ask()

    receipt = scene.fail(request, code)

    assert_emitted(receipt, "RequestFailed", request_id=scene.id_of(request), operator=operator, code=code)
    state = scene.state_of(request)
    assert (state.status, state.result_tag[-1]) == (Status.FAILED, code)
    assert scene.credit_of(requester) == FEE_WEI
    assert scene.account_of(operator).earned_wei == 0


def test_fail_calls_consumer_with_code(scene: Scene, puppet: Contract) -> None:
    """The consumer learns why."""
    request = scene.ask(via=puppet)

    receipt = scene.fail(request, FailureCode.NOT_FINITE)

    assert_emitted(
        receipt,
        "FailureReceived",
        request_id=scene.id_of(request),
        salt=request.salt,
        code=FailureCode.NOT_FINITE,
    )


def test_fail_with_failing_consumer_keeps_callback_pending(scene: Scene, puppet: Contract, stranger: Account) -> None:
    """The refund stands, and the notice can be repeated."""
    puppet.send("behave", 1, by=stranger)
    request = scene.ask(via=puppet)

    receipt = scene.fail(request)

    assert_emitted(receipt, "CallbackFailed", kind=CallbackKind.FAILED)
    assert scene.state_of(request).pending is CallbackKind.FAILED


def test_fail_on_open_request_only_reports(scene: Scene, operator: Account, requester: Account) -> None:
    """One operator's refusal does not end what others may answer."""
    request = scene.ask_anyone()

    receipt = scene.fail(request, FailureCode.UNSUPPORTED)

    assert_emitted(
        receipt,
        "FailureReported",
        request_id=scene.id_of(request),
        operator=operator,
        code=FailureCode.UNSUPPORTED,
    )
    assert_silent(receipt, "RequestFailed")
    assert scene.state_of(request).status is Status.REQUESTED
    assert scene.credit_of(requester) == 0


def test_fail_by_operator_not_named_reverts(scene: Scene, operator: Account, rival: Account) -> None:
    """Nobody else can end a named request."""
    request = scene.ask()

    with reverts("OperatorNotNamed", operator=rival, named=operator):
        scene.fail(request, operator=rival)


def test_fail_signed_by_stranger_reverts(scene: Scene, operator: Account, stranger: Account) -> None:
    """A failure needs the operator's own signer."""
    request = scene.ask()
    failure = Failure(request_id=scene.id_of(request), operator=operator.address, code=FailureCode.BAD_INPUT)
    signature = stranger.sign(failure_digest(failure, scene.system.domain))

    with reverts("SignerNotAuthorized", operator=operator, signer=stranger, not_after=0):
        scene.system.oracle.send("fail", request, operator, failure.code, signature, by=stranger)


def test_fail_with_other_code_than_signed_reverts(scene: Scene, operator: Account, stranger: Account) -> None:
    """The relayer cannot change the reason."""
    request = scene.ask()
    signature = scene.sign_failure(request, FailureCode.BAD_INPUT)

    with reverts("SignerNotAuthorized", not_after=0):
        scene.system.oracle.send("fail", request, operator, FailureCode.TOO_LARGE, signature, by=stranger)


def test_fail_with_unknown_code_reverts(scene: Scene, operator: Account, stranger: Account) -> None:
    """Codes are a closed list."""
    with reverts(""):
        scene.system.oracle.send("fail", scene.ask(), operator, len(FailureCode), bytes(65), by=stranger)


def test_fail_with_signature_under_other_request_reverts(scene: Scene, operator: Account, stranger: Account) -> None:
    """A failure cannot be replayed on another request."""
    signature = scene.sign_failure(scene.ask(), FailureCode.BAD_INPUT)

    with reverts("SignerNotAuthorized", not_after=0):
        scene.system.oracle.send("fail", scene.ask(), operator, FailureCode.BAD_INPUT, signature, by=stranger)


def test_fail_with_signature_under_result_reverts(scene: Scene, operator: Account, stranger: Account) -> None:
    """A result's signature is not a failure's, and the other way round."""
    request = scene.ask()
    signature = scene.sign_result(request, scene.make_answer())

    with reverts("SignerNotAuthorized", not_after=0):
        scene.system.oracle.send("fail", request, operator, FailureCode.BAD_INPUT, signature, by=stranger)


def test_fail_by_revoked_signer_beyond_validity_reverts(scene: Scene, system: System, operator: Account) -> None:
    """A revoked signer cannot fail what ends after its own end, either."""
    signer = scene.cast.signers[operator.address]
    system.operator_registry.send("revokeSigner", signer, by=operator)
    not_after = system.operator_registry.call("signerNotAfter", operator, signer)

    with reverts("SignerNotAuthorized", expiry=not_after + 1, not_after=not_after):
        scene.fail(scene.ask(deadline=not_after + 1))


def test_fail_after_proposal_reverts(scene: Scene) -> None:
    """Who has answered cannot take it back."""
    request = scene.ask()
    scene.propose(request)

    with reverts("StatusUnexpected", actual=Status.PROPOSED, expected=Status.REQUESTED):
        scene.fail(request)


def test_fail_twice_reverts(scene: Scene, requester: Account) -> None:
    """A fee is refunded once."""
    request = scene.ask()
    scene.fail(request)

    with reverts("StatusUnexpected", actual=Status.FAILED, expected=Status.REQUESTED):
        scene.fail(request)
    assert scene.credit_of(requester) == FEE_WEI


def test_fail_after_deadline_still_refunds(scene: Scene, chain: Chain, requester: Account) -> None:
    """Late or not, a failure means a refund, as an expiry would."""
    request = scene.ask()
    chain.travel(to=request.deadline + 1)

    scene.fail(request)

    assert scene.credit_of(requester) == FEE_WEI


def test_fail_digest_equals_view(scene: Scene, system: System, operator: Account) -> None:
    """Both languages sign the same bytes."""
    failure = Failure(request_id=RequestId(b"\x07" * 32), operator=operator.address, code=FailureCode.EXECUTION_FAILED)

    assert system.oracle.call("failureDigestOf", failure) == failure_digest(failure, system.domain)
