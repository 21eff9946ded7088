"""Convictions in the reference: what `DisputeGame` does to a `Ledger`."""

from __future__ import annotations

from tests.invariants.reference import Ledger, Sworn, require

from sworn.codec.hashing import result_digest
from sworn.types import ZERO_ADDRESS, ZERO_HASH, Address, Assurance, CallbackKind, Profile, Result, Status

MAX_ROUND = 127


def contradict(ledger: Ledger, first: Result, second: Result) -> bool:
    """Whether two results convict who signed both."""
    if first.output_root == second.output_root:
        return False
    if (first.model_id, first.input_root) != (second.model_id, second.input_root):
        return False
    match ledger.profiles.get(first.model_id, Profile.NONE):
        case Profile.EXACT:
            return True
        case Profile.SIGNED:
            return first.request_id == second.request_id != ZERO_HASH
        case _:
            return False


def prove(ledger: Ledger, first: Sworn, second: Sworn, prover: Address) -> None:
    """`DisputeGame.proveEquivocation`; a refusal leaves the ledger half-way, so work on a copy."""
    require(first.result.operator == second.result.operator, "OperatorsDiffer")
    require(contradict(ledger, first.result, second.result), "NotEquivocation")
    for sworn in (first, second):
        _authenticate(ledger, sworn)
    slashed_wei = sum(_refute(ledger, sworn, prover) for sworn in (first, second))
    news = False
    for sworn in (first, second):
        news = _record(ledger, sworn, prover) or news
        slashed_wei += _collect(ledger, sworn, prover)
    require(news or slashed_wei != 0, "AlreadyConvicted")


def slash_use(ledger: Ledger, result_id: bytes, consumer: Address) -> None:
    """`DisputeGame.slashUse`."""
    require(result_id in ledger.convicted, "ResultNotConvicted")
    key = (result_id, consumer)
    require(key in ledger.uses, "UseMissing")
    use = ledger.uses.pop(key)
    slashed_wei = _take_bond(ledger, use.operator, key)
    _share(ledger, ledger.convicted[result_id], use.compensate_to, slashed_wei)


def withdraw_reward(ledger: Ledger, account: Address) -> int:
    """`DisputeGame.withdrawFor`: what is paid out."""
    require(ledger.rewards[account] != 0, "RewardMissing")
    return ledger.rewards.pop(account)


def _authenticate(ledger: Ledger, sworn: Sworn) -> None:
    result = sworn.result
    if result.request_id != ZERO_HASH:
        request = sworn.request
        belongs = (
            request is not None
            and ledger.id_of(request) == result.request_id
            and (request.model_id, request.input_root) == (result.model_id, result.input_root)
        )
        require(belongs, "StatementMismatch")
        require(ledger.states[result.request_id].status is not Status.NONE, "RequestNotMade")
    end = ledger.operators[result.operator].not_after(sworn.signer)
    require(end != 0 and result.expiry <= end, "SignerNotAuthorized")


def _refute(ledger: Ledger, sworn: Sworn, prover: Address) -> int:
    request, result = sworn.request, sworn.result
    if request is None:
        return 0
    identity = ledger.id_of(request)
    state = ledger.states[identity]
    if state.status is not Status.PROPOSED or state.tag != result_digest(result, ledger.domain)[:20]:
        return 0
    reopened = request.operator == ZERO_ADDRESS
    told = request.assurance is Assurance.PROVISIONAL and state.pending is CallbackKind.NONE
    state.round = min(state.round + 1, MAX_ROUND)
    # The time lost is given back, and a whole window is left in any case.
    left_s = ledger.now + request.window_s - request.deadline
    state.extension_s = max(state.extension_s + ledger.now - state.proposed_at, left_s)
    state.has_barred = True
    state.status = Status.REQUESTED if reopened else Status.REFUTED
    state.pending, state.proposed_at, state.tag = CallbackKind.NONE, 0, bytes(20)
    ledger.barred.add((identity, result.operator))
    if not reopened:
        ledger.credits[request.refund_to] += request.fee_wei
    if told or not reopened:
        ledger.tell(request, CallbackKind.REFUTED)
    slashed_wei = _take_bond(ledger, result.operator, identity)
    ledger.paid[_charge(ledger, sworn)] = slashed_wei
    _share(ledger, prover, request.refund_to, slashed_wei)
    return slashed_wei


def _record(ledger: Ledger, sworn: Sworn, prover: Address) -> bool:
    request, result = sworn.request, sworn.result
    if request is None:
        result_id = result_digest(result, ledger.domain)
        news = result_id not in ledger.convicted
        ledger.convicted.setdefault(result_id, prover)
        return news
    identity = ledger.id_of(request)
    if (identity, result.operator) in ledger.barred:
        return False
    state = ledger.states[identity]
    ledger.barred.add((identity, result.operator))
    state.has_barred = True
    if state.status is Status.REQUESTED and request.operator == result.operator:
        state.status = Status.REFUTED
        ledger.credits[request.refund_to] += request.fee_wei
        ledger.tell(request, CallbackKind.REFUTED)
    return True


def _collect(ledger: Ledger, sworn: Sworn, prover: Address) -> int:
    request, charge = sworn.request, _charge(ledger, sworn)
    operator = ledger.operators[sworn.result.operator]
    due_wei = max(0, ledger.bond_for(request.value_at_risk_wei if request else 0) - ledger.paid[charge])
    from_free_wei = min(due_wei, operator.free_wei)
    from_unbonding_wei = min(due_wei - from_free_wei, operator.unbonding_wei)
    operator.stake_wei -= from_free_wei + from_unbonding_wei
    operator.unbonding_wei -= from_unbonding_wei
    ledger.paid[charge] += from_free_wei + from_unbonding_wei
    _share(ledger, prover, request.refund_to if request else ZERO_ADDRESS, from_free_wei + from_unbonding_wei)
    return from_free_wei + from_unbonding_wei


def _charge(ledger: Ledger, sworn: Sworn) -> object:
    if sworn.request is None:
        return result_digest(sworn.result, ledger.domain)
    return sworn.result.request_id, sworn.result.operator


def _take_bond(ledger: Ledger, operator: Address, key: object) -> int:
    account = ledger.operators[operator]
    bond_wei = account.bonds.pop(key)
    account.stake_wei -= bond_wei
    return bond_wei


def _share(ledger: Ledger, prover: Address, victim: Address, slashed_wei: int) -> None:
    reward_wei = slashed_wei * 30 // 100
    compensation_wei = slashed_wei * 50 // 100 if victim != ZERO_ADDRESS else 0
    ledger.rewards[prover] += reward_wei
    if victim != ZERO_ADDRESS:
        ledger.rewards[victim] += compensation_wei
    ledger.burnt_wei += slashed_wei - reward_wei - compensation_wei
