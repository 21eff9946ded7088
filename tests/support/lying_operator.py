"""An operator that swears to a run with one false element, and stands for it in court."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tests.support.client_world import World

import sworn
from sworn.client import DisputeHandle, RequestHandle
from sworn.codec.hashing import Domain, result_digest, result_of
from sworn.codec.structs import answer_to_abi, request_to_abi
from sworn.codec.tensors import encode_tensors
from sworn.dispute.case import Case
from sworn.dispute.disclosure import show
from sworn.dispute.moves import Moves
from sworn.types import ZERO_HASH, Answer, DisputeStatus
from sworn.verification import CompiledModel, Fault, Trace

MATURITY_S, MATURITY_BLOCKS = 60, 5


@cache
def compiled(artifact: bytes) -> CompiledModel:
    """The world's model, compiled once."""
    return sworn.compile_model(artifact)


def false_run(model: CompiledModel, inputs: Mapping[str, NDArray[Any]]) -> Trace:
    """A run in which one bit of the last output is wrong, and everything else is right."""
    honest = model.trace(inputs)
    value = model.program.outputs[-1].value
    moved = honest.values[value].copy()
    moved.reshape(-1).view(f"u{moved.itemsize}")[0] ^= 1
    values = [moved if number == value else np.asarray(each) for number, each in enumerate(honest.values)]
    return Trace.of(model.subject, values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lie:
    """A false answer on chain."""

    world: World
    handle: RequestHandle
    trace: Trace

    @property
    def fault(self) -> Fault:
        """What is wrong with it."""
        (fault,) = compiled(self.world.artifact).audit(self.trace, max_faults=1)
        return fault

    def commit_trace(self, case: Case) -> None:
        """The operator commits to its false trace, with the roots of all values."""
        world = self.world
        where = Domain(chain_id=world.deployment.chain_id, oracle=world.deployment.oracle)
        digest = result_digest(replace(case.result, trace_root=self.trace.root), where)
        moves = Moves(world.deployment)
        call = moves.commit_trace_roots(case, self.trace.data_roots, world.signer.sign_digest(digest))
        world.client(1)._signing.perform(call)

    def defend(self, dispute: DisputeHandle) -> None:
        """Everything that is asked of the operator now: the trace, and whatever has been demanded of it."""
        report = dispute.state()
        if report.status is DisputeStatus.OPEN and report.trace_root == ZERO_HASH:
            self.commit_trace(dispute.case)
        for demand in report.demands:
            if report.status is DisputeStatus.OPEN and not demand.answered:
                shown = show(self.trace, demand.target)
                call = Moves(self.world.deployment).disclose(dispute.case, demand.challenger, demand.target, shown)
                self.world.client(1)._signing.perform(call)


def swear(world: World, handle: RequestHandle, trace: Trace, *, output: bytes | None = None) -> None:
    """Answers a request with the outputs of a trace, or with other bytes, and swears to its root."""
    payload = encode_tensors(trace.outputs, trace.subject.schema.outputs) if output is None else output
    answer = Answer(operator=world.operator, trace_root=trace.root, output=payload)
    where = Domain(chain_id=world.deployment.chain_id, oracle=world.deployment.oracle)
    result = result_of(handle.request, answer, chain_id=where.chain_id, oracle=where.oracle)
    signature = world.signer.sign_digest(result_digest(result, where))
    sent = (request_to_abi(handle.request), answer_to_abi(answer), signature)
    world.client(1)._signing.send("oracle", "propose", *sent)


def tell_lie(world: World, **options: Any) -> Lie:
    """A request that the operator answers with one wrong bit."""
    handle = world.request(**options)
    trace = false_run(compiled(world.artifact), world.row.inputs)
    world.propose(handle.request, trace.outputs)
    return Lie(world=world, handle=handle, trace=trace)


def ripen(world: World) -> None:
    """Lets a commitment made just now become ripe."""
    world.chain.mine(MATURITY_BLOCKS)
    world.chain.advance(MATURITY_S)


def settle(world: World, dispute: DisputeHandle) -> None:
    """Travels past the last second in which somebody could take the prover's place."""
    report = dispute.state()
    settles_at = report.dispute.committed_at + world.deployment.parameters["revealSeconds"]
    world.chain.advance(max(settles_at + 1 - report.now, 1))
