"""How a move is made: which function of which contract, and with what."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.games.arena import Arena
from tests.games.model import Case
from tests.games.moves import Action, Move
from tests.support.chain import Contract, Statement
from tests.support.court import NO_REQUEST

from sworn.types import Answer

Call = tuple[Contract, str, tuple[Any, ...]]


def call_of(arena: Arena, case: Case, output: bytes, move: Move) -> Call:
    """The transaction that makes a move."""
    request = arena.record(NO_REQUEST if case.request is None or move.other_request else case.request)
    found = _in_dispute(arena, case, request, move) or _after_dispute(arena, case, request, move)
    if found is not None:
        return arena.game, *found
    return _elsewhere(arena, case, request, output, move)


def _in_dispute(arena: Arena, case: Case, request: Any, move: Move) -> tuple[str, tuple[Any, ...]] | None:
    result, identity = arena.record(case.result), case.result_id
    match move.action:
        case Action.OPEN if case.request is None:
            return "challengeOffchain", (result, move.payload)
        case Action.OPEN:
            return "challenge", (request, case.result.operator, case.result.output_root, case.result.trace_root)
        case Action.JOIN:
            return "join", (identity,)
        case Action.COMMIT_TRACE if move.roots:
            return "commitTraceRoots", (result, list(move.roots), move.payload)
        case Action.COMMIT_TRACE:
            return "commitTrace", (result, move.root, move.payload)
        case Action.DEMAND:
            return "demand", (result, move.target)
        case Action.DISCLOSE:
            return "disclose", (result, move.account, move.target, move.payload)
        case Action.COMMIT_FAULT:
            return "commitFault", (identity, move.commitment)
        case Action.PROVE:
            return "proveFault", (result, request, move.payload, move.salt)
        case Action.CONVICT_SILENCE:
            return "convictSilence", (result, request, move.account, move.target)
        case Action.RESOLVE:
            return "resolve", (result, request)
        case _:
            return None


def _after_dispute(arena: Arena, case: Case, request: Any, move: Move) -> tuple[str, tuple[Any, ...]] | None:
    match move.action:
        case Action.CLAIM:
            return "claim", (case.result_id, move.account)
        case Action.WITHDRAW:
            return "withdrawFor", (move.account,)
        case Action.EQUIVOCATE:
            first, second = _two_oaths(arena, case)
            return "proveEquivocation", (first, request, second, request)
        case Action.SLASH_USE:
            return "slashUse", (case.result_id, move.account)
        case Action.COLLECT:
            return "collect", (arena.record(case.result),)
        case _:
            return None


def _elsewhere(arena: Arena, case: Case, request: Any, output: bytes, move: Move) -> Call:
    system, result = arena.scene.system, case.result
    answer = Answer(operator=result.operator, trace_root=result.trace_root, output=output)
    match move.action:
        case Action.RELEASE:
            return system.signed_results, "release", (case.result_id, move.account)
        case Action.FINALIZE:
            return system.oracle, "finalize", (request, answer)
        case Action.EXPIRE:
            return system.oracle, "expire", (request,)
        case Action.PROPOSE:
            return system.oracle, "propose", (request, answer, arena.sign(result))
        case Action.UNBOND:
            return system.operator_registry, "unbond", (2**256 - 1,)
        case _:
            raise ValueError(f"nobody knows how to make {move}")


def _two_oaths(arena: Arena, case: Case) -> tuple[Statement, Statement]:
    first = case.result
    second = replace(first, output_root=b"\x07" * 32)
    return Statement(result=first, signature=arena.sign(first)), Statement(result=second, signature=arena.sign(second))
