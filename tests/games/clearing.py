"""What is left to do when a dispute is over, and that nothing is left then."""

from __future__ import annotations

from tests.games.arena import START
from tests.games.deal import SHELTER, Plan
from tests.games.model import NEVER
from tests.games.moves import Action, Move
from tests.games.table import Table, Violation

from sworn.types import ZERO_HASH, DisputeStatus, Status

#: Divisions that round down, for each who shares.
_ROUNDINGS = 4


def ending(table: Table) -> Move:
    """The move that ends a dispute whose time is over: there always is one."""
    stranger, state = table.arena.stranger, table.state
    if table.court.root == ZERO_HASH:
        return Move(action=Action.CONVICT_SILENCE, by=stranger)
    for (account, target), asked in state.demands.items():
        if asked.due_at != NEVER:
            return Move(action=Action.CONVICT_SILENCE, by=stranger, account=account, target=target)
    return Move(action=Action.RESOLVE, by=stranger)


class Clearing:
    """After a game: every share is credited, every bond is freed or slashed, every request is over."""

    def __init__(self, table: Table, plan: Plan) -> None:
        self.table = table
        self.plan = plan

    def run(self) -> None:
        """Clears the table. Raises `Violation`."""
        table = self.table
        if table.state.status is DisputeStatus.OPEN:
            raise Violation("nobody wants to move, and the dispute is open")
        self._shares()
        self._uses()
        self._request()
        self._shelter()

    def _shares(self) -> None:
        table, state = self.table, self.table.state
        if state.status is not DisputeStatus.REFUTED:
            return
        self._wait(state.settles_at + 1)
        for account, party in state.parties.items():
            if not party.claimed and table.court.shares(account):
                self._must(Move(action=Action.CLAIM, by=table.arena.stranger, account=account))

    def _uses(self) -> None:
        state, stranger = self.table.state, self.table.arena.stranger
        for user, use in list(state.uses.items()):
            if int(state.convicted_by, 16):
                self._must(Move(action=Action.SLASH_USE, by=stranger, account=user))
                continue
            self._wait(use.release_at + 1)
            self._must(Move(action=Action.RELEASE, by=stranger, account=user))

    def _request(self) -> None:
        state, request, stranger = self.table.state, self.table.case.request, self.table.arena.stranger
        if request is None:
            return
        if state.request_status is Status.PROPOSED:
            self._wait(self.table.court.window_closes_at + 1)
            self._must(Move(action=Action.FINALIZE, by=stranger))
        elif state.request_status is Status.REQUESTED:
            refused = Move(action=Action.PROPOSE, by=stranger)
            if self.table.make(refused):
                raise Violation("a refuted answer was taken again")
            self._wait(request.deadline + state.extension_s + 1)
            self._must(Move(action=Action.EXPIRE, by=stranger))

    def _shelter(self) -> None:
        """What an off-chain lie has not cost yet, it costs when stake is free again."""
        table, purse, case = self.table, self.table.purse, self.table.case
        if table.shelter is not None:
            request, answer = table.shelter
            self._wait(START + request.window_s + 1)
            table.arena.run(table.arena.scene.system.oracle, "finalize", request, answer, by=table.arena.stranger)
            del purse.bonds[SHELTER]
        convicted = case.request is None and int(table.state.convicted_by, 16) != 0
        if convicted and purse.paid[case.charge] < purse.bond_for(0):
            self._must(Move(action=Action.COLLECT, by=table.arena.stranger))
            if purse.paid[case.charge] != purse.bond_for(0):
                raise Violation("a lie has not cost what it must")

    def _wait(self, until: int) -> None:
        if until > self.table.moment.time:
            self.table.go_to(self.plan.rhythm.at(until))

    def _must(self, move: Move) -> None:
        must(self.table, move)


def must(table: Table, move: Move) -> None:
    """Makes a move that nothing may speak against. Raises `Violation`."""
    if not table.make(move):
        raise Violation(f"{move} is refused, so something is stuck: {table.log[-1]}")


def empty_court(*tables: Table) -> None:
    """Everyone takes what it is owed, and no coin is left but what rounding has lost. Raises `Violation`."""
    first = tables[0]
    for account in [account for account, amount_wei in first.purse.credits.items() if amount_wei]:
        must(first, Move(action=Action.WITHDRAW, by=first.arena.stranger, account=account))
    dust_wei = sum(_ROUNDINGS * (len(table.state.parties) + 1) for table in tables)
    if not 0 <= first.purse.held_wei <= dust_wei:
        raise Violation(f"{first.purse.held_wei} wei are left in the court")
    if first.purse.bonds:
        raise Violation(f"bonds are locked for ever: {first.purse.bonds}")
