from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.support.accounts import Account
from tests.support.assertions import assert_emitted, reverts
from tests.support.court import BOND_WEI as CHALLENGE_WEI
from tests.support.court import NO_REQUEST, Court, ShownTrace, Target, try_offchain_result, try_result
from tests.support.scene import BOND_WEI, STAKE_WEI, Scene
from tests.support.system import ETHER, PARAMETERS, System

from sworn.codec.dispute_structs import decode_disclosure, encode_disclosure
from sworn.codec.trees import chunk_leaves, keccak, node_hash, seal_data, tree_levels
from sworn.types import ZERO_HASH, DisputeStatus, Part, Status

TRACE = ShownTrace([b"\x01" * 128, b"\x02" * 64])
CHUNKS: Target = (Part.CHUNKS, 0, 0, 0)
ROOT: Target = (Part.VALUES, 0, 0, 0)
REWARD_WEI = BOND_WEI * 30 // 100
_GARBAGE = b"\x66" * 32


@pytest.fixture
def court(scene: Scene, challenger: Account) -> Court:
    """A challenged result with a trace."""
    court = try_result(scene)
    court.open(by=challenger)
    court.commit_trace(TRACE)
    return court


def test_demand_paid_with_a_fortune_still_can_be_answered(
    court: Court, challenger: Account, stranger: Account, operator: Account
) -> None:
    """Nobody pays so much that adding it up overflows and every answer reverts: a demand costs its price."""
    court.join(by=stranger)
    court.demand(ROOT, by=stranger)
    court.disclose(ROOT, TRACE.show(ROOT), to=stranger)
    price = court.price(Part.CHUNKS)
    court.demand(CHUNKS, by=challenger, price_wei=1_000 * ETHER)

    court.disclose(CHUNKS, TRACE.show(CHUNKS), to=challenger)

    assert court.reward_of(challenger) == 1_000 * ETHER - price
    assert court.reward_of(operator) <= 2 * price


def test_friend_that_pays_for_disclosures_moves_no_more_than_their_price(
    court: Court, stranger: Account, operator: Account
) -> None:
    """Dear demands do not empty the reward into a friend's pocket: what counts as spent is what answers cost."""
    court.join(by=stranger)
    price = court.price(Part.CHUNKS)
    court.demand(CHUNKS, by=stranger, price_wei=10 * REWARD_WEI)
    court.disclose(CHUNKS, TRACE.show(CHUNKS), to=stranger)

    assert court.state["spent_wei"] == price
    assert court.reward_of(operator) == price
    assert court.reward_of(stranger) == 10 * REWARD_WEI - price


def test_idle_challenger_gets_its_bond_back_though_only_the_prover_spent(
    court: Court, challenger: Account, stranger: Account
) -> None:
    """Where nobody but the prover has anything to be repaid, the others still can claim."""
    court.join(by=stranger)
    court.demand(CHUNKS, by=challenger)
    court.disclose(CHUNKS, TRACE.show(CHUNKS), to=challenger)
    court.convict(by=challenger, trace_root=TRACE.root)
    court.settle()
    before = court.reward_of(stranger)

    court.claim(stranger)

    assert court.reward_of(stranger) - before == CHALLENGE_WEI


def test_rich_friend_that_joins_a_silent_operators_dispute_leaves_the_opener_its_share(
    scene: Scene, challenger: Account, stranger: Account
) -> None:
    """A huge bond takes most of what is shared by bonds, and nothing of what is for opening."""
    court = try_result(scene)
    court.open(by=challenger)
    court.join(by=stranger, bond_wei=500 * ETHER)
    scene.chain.travel(to=court.state["opened_at"] + court.parameter("traceSeconds") + 1)
    court.convict_silence()

    court.claim(challenger)

    assert court.reward_of(challenger) >= CHALLENGE_WEI + REWARD_WEI // 10


def test_stake_hidden_behind_own_bonds_pays_for_an_offchain_lie_later(
    scene: Scene, system: System, challenger: Account, operator: Account
) -> None:
    """A conviction that finds nothing to take is not the end: what is owed is collected when stake is free again."""
    court = try_offchain_result(scene)
    shelter = scene.ask(value_at_risk_wei=STAKE_WEI // 2)
    scene.propose(shelter)
    court.open(by=challenger)
    court.commit_trace(TRACE)
    court.convict(by=challenger, trace_root=TRACE.root)
    court.settle()
    court.claim(challenger)
    assert court.reward_of(challenger) == CHALLENGE_WEI
    with reverts("AlreadyConvicted", operator=operator):
        system.dispute_game.send("collect", court.result, by=challenger)
    scene.finalize(shelter)

    system.dispute_game.send("collect", court.result, by=scene.cast.stranger)

    assert scene.account_of(operator).stake_wei == STAKE_WEI - PARAMETERS["minBondWei"]
    assert court.reward_of(challenger) == CHALLENGE_WEI + PARAMETERS["minBondWei"] * 30 // 100
    with reverts("AlreadyConvicted", operator=operator):
        system.dispute_game.send("collect", court.result, by=challenger)


def test_convicted_offchain_result_cannot_be_challenged_to_take_its_provers_reward(
    scene: Scene, challenger: Account, stranger: Account
) -> None:
    """Who showed two oaths is paid for the uses of both; a thief's second conviction is refused."""
    court = try_offchain_result(scene)
    other = scene.make_offchain_result(2.0)
    scene.convict(scene.swear_to(court.result), scene.swear_to(other), requests=(NO_REQUEST, NO_REQUEST))

    with reverts("AlreadyConvicted", operator=court.result.operator):
        court.open(by=stranger)
    assert court.game.call("convictedBy", court.result_id) == challenger.address


def test_taking_the_provers_place_takes_the_reward_for_uses_too(
    scene: Scene, system: System, challenger: Account, stranger: Account
) -> None:
    """Whose proof counts at the end is paid for every use."""
    court = try_offchain_result(scene)
    court.use()
    court.open(by=challenger)
    court.join(by=stranger)
    court.commit_trace(TRACE)
    court.commit_fault(by=stranger)
    court.commit_fault(by=challenger)
    court.ripen()
    court.prove(by=challenger, trace_root=TRACE.root)
    court.prove(by=stranger, trace_root=TRACE.root)
    court.settle()

    receipt = system.dispute_game.send("slashUse", court.result_id, scene.cast.requester, by=challenger)

    assert_emitted(receipt, "SlashShared", prover=stranger)


def test_caught_operator_cannot_take_the_reward_from_an_earlier_commitment_by_equivocating(
    court: Court, scene: Scene, challenger: Account, rival: Account
) -> None:
    """Its friend shows a second oath before the fault is ripe: who had committed to the fault still gets the reward."""
    court.demand(CHUNKS, by=challenger)
    court.disclose(CHUNKS, TRACE.show(CHUNKS), to=challenger)
    court.commit_fault(by=challenger)
    scene.convict_over(court.request, scene.make_answer(), scene.make_answer(2.0), by=rival)
    assert court.state["prover"] == rival.address

    court.ripen()
    court.prove(by=challenger, trace_root=TRACE.root)
    court.settle()
    before = court.reward_of(challenger)
    court.claim(challenger)

    assert court.state["prover"] == challenger.address
    assert (
        court.reward_of(challenger) - before == CHALLENGE_WEI + court.state["reward_wei"] >= CHALLENGE_WEI + REWARD_WEI
    )
    with reverts("NothingToClaim", account=rival):
        court.claim(rival)


def test_equivocation_beside_a_dispute_pays_its_prover_after_disclosures(
    court: Court, scene: Scene, challenger: Account, rival: Account
) -> None:
    """Where nobody had committed to a fault, what challengers spent comes first; its prover needs no bond."""
    price = court.price(Part.CHUNKS)
    court.demand(CHUNKS, by=challenger)
    court.disclose(CHUNKS, TRACE.show(CHUNKS), to=challenger)
    scene.convict_over(court.request, scene.make_answer(), scene.make_answer(2.0), by=rival)
    with reverts("MoveTooEarly"):
        court.claim(rival)

    court.settle()
    before = {account: court.reward_of(account) for account in (challenger, rival)}
    court.claim(challenger)
    court.claim(rival)

    reward = court.state["reward_wei"]
    repaid = min(price, reward // 2)
    opener = (reward - repaid) * 10 // 100
    assert court.reward_of(challenger) - before[challenger] == CHALLENGE_WEI + repaid + opener
    assert court.reward_of(rival) - before[rival] == reward - repaid - opener
    with reverts("NothingToClaim", account=rival):
        court.claim(rival)


def test_nothing_is_collected_for_a_result_that_nobody_refuted(
    scene: Scene, system: System, challenger: Account
) -> None:
    """Neither for one under challenge, nor while another may take the prover's place."""
    court = try_offchain_result(scene)
    court.open(by=challenger)
    court.commit_trace(TRACE)
    with reverts("ResultNotConvicted", result_id=court.result_id):
        system.dispute_game.send("collect", court.result, by=challenger)
    court.convict(by=challenger, trace_root=TRACE.root)

    with reverts("MoveTooEarly"):
        system.dispute_game.send("collect", court.result, by=challenger)


@pytest.mark.parametrize("part", [Part.NODES, Part.CHUNKS])
def test_empty_value_with_a_made_up_tree_cannot_be_shown(scene: Scene, challenger: Account, part: Part) -> None:
    """A decoy that differs from the honest trace and has no element to prove convicts by itself."""
    honest = ShownTrace([b"\x01" * 128, b""])
    tree = node_hash(honest.data_roots[0], seal_data(0, _GARBAGE))
    court = try_result(scene, trace_root=keccak(b"\x09" + (2).to_bytes(4) + tree))
    court.open(by=challenger)
    target: Target = (part, 1, 0, 0)
    court.demand(target, by=challenger)
    shown = honest.show(target, values_tree=tree, chunks_tree=_GARBAGE)

    with reverts("DisclosureMismatch"):
        court.disclose(target, shown, to=challenger)


def test_trace_without_values_has_one_root(scene: Scene, challenger: Account) -> None:
    """Of no values there is one tree: another one cannot be shown."""
    root = keccak(b"\x09" + (0).to_bytes(4) + _GARBAGE)
    court = try_result(scene, trace_root=root)
    court.open(by=challenger)
    court.demand(ROOT, by=challenger)
    nothing = replace(decode_disclosure(TRACE.show(ROOT)), values=0, values_tree=_GARBAGE, nodes=(), siblings=())

    with reverts("DisclosureMismatch"):
        court.disclose(ROOT, encode_disclosure(nothing), to=challenger)


def test_wrong_padding_beside_the_way_cannot_be_shown(scene: Scene, challenger: Account) -> None:
    """A subtree without leaves has one root for who shows and who proves, also where it is only a sibling."""
    value = b"\x07" * (33 * 1024)
    leaves = chunk_leaves(value)
    left = tree_levels(leaves[: 32 * 32])[-1]
    last = tree_levels(leaves[32 * 32 :])[-1]
    node, missing = last, ZERO_HASH
    for _ in range(4):
        node, missing = node_hash(node, missing), node_hash(missing, missing)
    bad_tree = node_hash(left, node_hash(node, _GARBAGE))
    good_tree = node_hash(left, node_hash(node, missing))
    honest = ShownTrace([value])
    assert honest.data_roots[0] == seal_data(len(value), good_tree)
    court = try_result(scene, trace_root=keccak(b"\x09" + (1).to_bytes(4) + seal_data(len(value), bad_tree)))
    court.open(by=challenger)
    target: Target = (Part.CHUNKS, 0, 0, 2)
    court.demand(target, by=challenger)
    shown = honest.show(
        target,
        values_tree=seal_data(len(value), bad_tree),
        chunks_tree=bad_tree,
        siblings=(_GARBAGE, left),
    )

    with reverts("DisclosureMismatch"):
        court.disclose(target, shown, to=challenger)


def test_moves_after_an_upheld_verdict_revert(court: Court, challenger: Account, stranger: Account) -> None:
    """Upheld is final for everyone."""
    court.scene.chain.travel(to=court.ends_at + 1)
    court.resolve()

    moves: list[Callable[[], object]] = [
        lambda: court.join(by=stranger),
        lambda: court.commit_trace(TRACE),
        lambda: court.demand(ROOT, by=challenger),
        lambda: court.disclose(ROOT, TRACE.show(ROOT), to=challenger),
        lambda: court.commit_fault(by=challenger),
        lambda: court.convict_silence(),
        lambda: court.resolve(),
    ]
    for move in moves:
        with reverts("DisputeNotOpen", status=DisputeStatus.UPHELD):
            move()


def test_resolving_in_the_last_second_reverts_and_a_second_later_not(court: Court) -> None:
    """The end is a second, for both sides."""
    court.scene.chain.travel(to=court.ends_at)
    with reverts("MoveTooEarly", until=court.ends_at):
        court.resolve()
    court.scene.chain.travel(to=court.ends_at + 1)

    court.resolve()

    assert court.state["status"] == DisputeStatus.UPHELD


def test_conviction_of_a_lie_tells_a_provisional_consumer_and_reopens(
    scene: Scene, challenger: Account, rival: Account
) -> None:
    """The liar is barred, the request open again, and a rival's answer stands."""
    court = try_result(scene, operator="0x" + "00" * 20)
    court.open(by=challenger)
    scene.chain.travel(to=court.state["opened_at"] + court.parameter("traceSeconds") + 1)

    receipt = court.convict_silence()

    assert_emitted(receipt, "ResultRefuted", reopened=True)
    with reverts("OperatorBarredFromRequest"):
        scene.propose(court.request)
    scene.propose(court.request, scene.make_answer(2.0, operator=rival))
    assert scene.state_of(court.request).status is Status.PROPOSED


def test_dust_of_shares_is_less_than_a_wei_for_each_challenger(
    scene: Scene, system: System, requester: Account, operator: Account
) -> None:
    """What rounding down leaves in the contract is less than a wei for each claimant; everything else leaves."""
    court = try_result(scene)
    parties = (scene.cast.challenger, scene.cast.stranger, scene.cast.rival)
    court.open(by=parties[0], bond_wei=CHALLENGE_WEI + 1)
    for extra, party in enumerate(parties[1:]):
        court.join(by=party, bond_wei=CHALLENGE_WEI + 7 + extra)
    court.commit_trace(TRACE)
    for party in parties:
        court.demand(CHUNKS, by=party, price_wei=court.price(Part.CHUNKS) + 3)
        court.disclose(CHUNKS, TRACE.show(CHUNKS), to=party)
    due_at = court.demand(ROOT, by=parties[2]).timestamp + court.parameter("discloseSeconds")
    scene.chain.travel(to=due_at + 1)
    court.convict_silence(challenger=parties[2], target=ROOT)
    for party in parties:
        court.claim(party)
    for party in (*parties, requester, operator):
        system.dispute_game.send("withdrawFor", party, by=requester)

    assert system.chain.balance(system.dispute_game) <= len(parties)
