"""One walk: every move is predicted by the reference, made on the chain, and compared."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

from tests.invariants.reading import Focus, expect, focus_on_all, focus_on_changes, read
from tests.invariants.reference import Ledger, Refused
from tests.invariants.replay import Replay
from tests.invariants.world import BURN_ADDRESS, FORCED_WEI, PARAMETERS, Behaviour, World
from tests.support.accounts import Account
from tests.support.assertions import reverts
from tests.support.chain import Contract, Event, TransactionReceipt

from sworn.types import Address, Answer, Status

#: INV-6; from the status on the left only these may follow in one move.
SUCCESSORS = {
    Status.NONE: {Status.REQUESTED},
    Status.REQUESTED: {Status.PROPOSED, Status.FAILED, Status.EXPIRED, Status.REFUTED},
    Status.PROPOSED: {Status.FINALIZED, Status.REFUTED, Status.REQUESTED},
}
#: Events by which ether leaves the protocol.
PAYMENTS = ("CreditWithdrawn", "StakeWithdrawn", "EarningsWithdrawn", "RewardWithdrawn")


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A transaction, through a consumer if ``via`` is given."""

    contract: Contract
    function: str
    arguments: tuple[Any, ...]
    by: Account
    value_wei: int = 0
    via: Contract | None = None

    @property
    def name(self) -> str:
        """Contract and function."""
        return f"{self.contract.kind.name}.{self.function}"

    def perform(self, *, dry: bool) -> TransactionReceipt | None:
        """Sends it, or only calls it when ``dry``. Raises `Reverted`."""
        contract, function, arguments = self.contract, self.function, self.arguments
        if self.via is not None:
            arguments = (contract, contract.encode(function, *arguments))
            contract, function = self.via, "execute"
        if dry:
            contract.call(function, *arguments, by=self.by, value_wei=self.value_wei)
            return None
        return contract.send(function, *arguments, by=self.by, value_wei=self.value_wei)


class Play:
    """A walk's state: the chain, the reference beside it, and what the events have told."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.behaviours = world.initial_behaviours
        self.ledger = Ledger(world.system.domain, parameters=PARAMETERS, profiles=world.profiles, callback=self.respond)
        self.replay = Replay(min_bond_wei=PARAMETERS["minBondWei"])
        self.answers: dict[bytes, Answer] = {}
        self.refuted: set[bytes] = set()
        self.deposited_wei = 0
        self.paid_wei = 0
        self.staked_wei: dict[Address, int] = defaultdict(int)
        self.outcomes: dict[str, int] = defaultdict(int)
        self._moved: Focus | None = None
        self._burnt_before_wei = world.chain.balance(BURN_ADDRESS)

    def fork(self) -> Play:
        """Another walk from here."""
        other = Play(self.world)
        other.ledger, other.replay = self.ledger.copy(), deepcopy(self.replay)
        other.ledger.callback = other.respond
        other.deposited_wei, other.paid_wei = self.deposited_wei, self.paid_wei
        other.staked_wei.update(self.staked_wei)
        # One count for all walks: together they must have been everywhere.
        other.outcomes = self.outcomes
        return other

    # Moves

    def attempt(self, move: Move, predict: Callable[[Ledger], Any]) -> bool:
        """Makes a move; fails unless the chain does exactly what the reference says."""
        trial = self.ledger.copy()
        trial.now = self.world.chain.now
        try:
            predict(trial)
        except Refused as refusal:
            with reverts(refusal.name):
                move.perform(dry=True)
            self.outcomes[f"{move.name}: {refusal.name}"] += 1
            return False
        receipt = move.perform(dry=False)
        assert receipt is not None
        self.deposited_wei += move.value_wei
        for event in receipt.events:
            self._witness(event, receipt.timestamp)
        self._check_successors(trial)
        self._moved = focus_on_changes(self.ledger, trial, self.world)
        self.ledger = trial
        self.outcomes[move.name] += 1
        return True

    def respond(self, ledger: Ledger, consumer: Address) -> bool:
        """Whether a consumer's callback succeeds, and what it does."""
        behaviour = self.behaviours.get(consumer, Behaviour.ACCEPT)
        if consumer == self.world.asker.address:
            self._ask_next(ledger)
        return behaviour in (Behaviour.ACCEPT, Behaviour.ACT)

    def receive(self, ledger: Ledger, payee: Address, *, error: str, guarded: bool) -> None:
        """What an account does when it is paid; ``guarded`` when the oracle pays and refuses to be reentered."""
        if self.behaviours.get(payee) is Behaviour.RETURN_BOMB:
            raise Refused(error)
        if payee == self.world.reentrant.address and not guarded and ledger.credits[payee]:
            ledger.withdraw(payee)
        if payee == self.world.asker.address:
            self._ask_next(ledger)

    def _ask_next(self, ledger: Ledger) -> None:
        try:
            ledger.ask(replace(self.world.next_question, requester=self.world.asker.address))
        except Refused:
            return

    def _witness(self, event: Event, timestamp: int) -> None:
        if event.contract not in {contract.address for contract in self.world.system.contracts}:
            return
        self.replay.apply(event, timestamp=timestamp)
        match event.name:
            case "ResultRefuted":
                self.refuted.add(event.arguments["resultId"])
            case "ResultFinalized":
                # INV-10
                assert event.arguments["resultId"] not in self.refuted
            case "OperatorRegistered":
                self.staked_wei[event.arguments["operator"]] += event.arguments["stakeWei"]
            case "StakeAdded":
                self.staked_wei[event.arguments["operator"]] += event.arguments["amountWei"]
            case "StakeWithdrawn":
                self.staked_wei[event.arguments["operator"]] -= event.arguments["amountWei"]
        if event.name in PAYMENTS:
            self.paid_wei += event.arguments["amountWei"]

    def _check_successors(self, after: Ledger) -> None:
        """INV-5 and INV-6: ids are used once, and no status moves backwards but from proposed to requested."""
        for identity, state in after.states.items():
            before = self.ledger.states[identity]
            if state.status is before.status:
                continue
            assert state.status in SUCCESSORS.get(before.status, set())
            self.outcomes[f"{before.status.name} to {state.status.name}"] += 1
            if state.status is Status.FINALIZED and before.pending and not state.pending:
                self.outcomes["final callback after a failed one"] += 1
            if (before.status, state.status) == (Status.PROPOSED, Status.REQUESTED):
                assert state.round == before.round + 1

    # Comparisons

    def check_money(self) -> None:
        """INV-1, INV-2, INV-3, INV-8: what the contracts hold is what they owe."""
        ledger, system, chain = self.ledger, self.world.system, self.world.chain
        live = (Status.REQUESTED, Status.PROPOSED)
        fees_wei = sum(r.fee_wei for i, r in ledger.requests.items() if ledger.states[i].status in live)
        earned_wei = sum(operator.earned_wei for operator in ledger.operators.values())
        stakes_wei = sum(operator.stake_wei for operator in ledger.operators.values())
        credits_wei, rewards_wei = sum(ledger.credits.values()), sum(ledger.rewards.values())
        assert chain.balance(system.oracle) == fees_wei + credits_wei + earned_wei + FORCED_WEI
        assert chain.balance(system.operator_registry) == stakes_wei + FORCED_WEI
        assert chain.balance(system.dispute_game) == rewards_wei + FORCED_WEI
        assert chain.balance(system.signed_results) == chain.balance(system.model_registry) == 0
        burnt_wei = chain.balance(BURN_ADDRESS) - self._burnt_before_wei
        assert burnt_wei == ledger.burnt_wei
        held_wei = fees_wei + credits_wei + earned_wei + stakes_wei + rewards_wei
        assert self.paid_wei == self.deposited_wei - burnt_wei - held_wei
        assert all(account.locked_wei <= account.stake_wei for account in ledger.operators.values())
        # INV-9
        honest = self.world.operators[2].address
        assert ledger.operators[honest].stake_wei == self.staked_wei[honest]

    def check_changes(self) -> None:
        """What the last move should have changed has changed, and no operator's account is different besides."""
        if self._moved is not None:
            assert read(self.world, self._moved) == expect(self.ledger, self.world, self._moved)
        self._moved = None

    def check_everything(self) -> None:
        """INV-7: all storage is as the reference predicts, and as the events alone rebuild it."""
        focus = focus_on_all(self.ledger, self.world)
        seen = read(self.world, focus)
        assert seen == expect(self.ledger, self.world, focus)
        assert seen == expect(self.replay, self.world, focus)
