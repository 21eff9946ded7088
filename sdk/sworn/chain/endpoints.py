"""Several nodes behind one `Gateway`: the best one is asked, the others check it and stand in for it.

``block("latest")`` opens a *view*: an endpoint is chosen, and everything that is read until the next view comes from
it, or, when it fails on the way, from one that has the very block that the view shows. So nothing that is read goes
back on what was read before, unless the chain itself did.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from sworn.chain.endpoints_agreement import answer_or_none, block_or_none, settle, settle_logs
from sworn.chain.endpoints_circle import Circle
from sworn.chain.endpoints_node import ABOUT_THE_QUESTION, Endpoint
from sworn.chain.endpoints_policy import CrossCheck, FailoverPolicy, Gather
from sworn.chain.endpoints_relay import Answer, Relay
from sworn.chain.gateway import Block, BlockRef, Call, Gateway, Log, Topic
from sworn.errors import ChainError, ChainIdMismatch, ConfigurationError, TransientChainError
from sworn.types import Address

_Item = TypeVar("_Item")
_Outcome = TypeVar("_Outcome")

#: Heights whose hash another endpoint has confirmed and that are remembered.
_REMEMBERED = 512


class FailoverGateway(Relay):
    """Implements `Gateway` over endpoints in order of preference.

    Raises `EndpointsDisagree` where endpoints contradict each other and no majority decides. Safe for several threads;
    what a view promises holds for the thread that opened it last.
    """

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        *,
        policy: FailoverPolicy | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        gather: Gather | None = None,
    ) -> None:
        self.policy = policy or FailoverPolicy()
        self.circle = Circle(endpoints, policy=self.policy, clock=clock, wall=wall, gather=gather)
        self._confirmed: dict[int, bytes] = {}

    def __repr__(self) -> str:
        return f"FailoverGateway({', '.join(endpoint.name for endpoint in self.circle.endpoints)})"

    def identify(self) -> None:
        """Asks every endpoint which chain it serves.

        Raises `ChainIdMismatch` when one serves another chain, and what the first one raised when none answers.
        """
        failed: list[ChainError | ConfigurationError] = []
        for endpoint in self.circle.endpoints:
            try:
                endpoint.identify()
            except ChainIdMismatch:
                raise
            except (ChainError, ConfigurationError) as error:
                failed.append(error)
        if len(failed) == len(self.circle.endpoints):
            raise failed[0]

    def block(self, ref: BlockRef) -> Block:
        """A header; "latest" opens a view. Raises `EndpointsDisagree`, and as `Gateway` says."""
        if ref == "latest":
            return self.circle.open()
        mine = super().block(ref)
        if isinstance(ref, int):
            return self._confirm_block(mine)
        others = [found.number for other in self.circle.verifiers(0) if (found := block_or_none(other, ref))]
        # One endpoint alone can neither call a block final that is not, nor, once there are three, hold it back.
        agreed = sorted([mine.number, *others])[len(others) // 2]
        return mine if agreed >= mine.number else self.block(agreed)

    def logs(
        self, *, addresses: Sequence[Address], topics: Sequence[Topic], from_block: int, to_block: int
    ) -> list[Log]:
        """Events in a closed block range, in chain order, compared with those of another endpoint."""

        def ask(node: Gateway) -> list[Log]:
            return node.logs(addresses=addresses, topics=topics, from_block=from_block, to_block=to_block)

        mine = self._ask(ask)
        if self.policy.cross_check is not CrossCheck.FULL:
            return mine
        what = f"the logs of blocks {from_block} to {to_block}"
        answer, _ = self._agreed(what, to_block, mine, ask, partial(settle_logs, what))
        return answer

    def calls(self, calls: Sequence[Call], *, block: BlockRef = "latest") -> list[bytes | ChainError]:
        return self._each(calls, lambda node, some: node.calls(some, block=block))

    def estimates(self, calls: Sequence[Call]) -> list[int | ChainError]:
        return self._each(calls, lambda node, some: node.estimates(some))

    def send_raw(self, raw: bytes) -> bytes:
        (outcome,) = self.send_raws([raw])
        if isinstance(outcome, ChainError):
            raise outcome
        return outcome

    def send_raws(self, raws: Sequence[bytes]) -> list[bytes | ChainError]:
        """Broadcasts by the endpoint in use, what it gave no verdict on by the others, and all by all if so set.

        The first verdict counts.
        """
        answers: dict[int, bytes | ChainError] = {}
        failed: ChainError | ConfigurationError | None = None
        waiting = self.circle.candidates()
        while waiting and (left := [index for index in range(len(raws)) if _open(answers.get(index))]):
            endpoint = waiting.pop(0)
            try:
                outcomes = endpoint.send_raws([raws[index] for index in left])
            except (ChainError, ConfigurationError) as error:
                failed = failed or error
                continue
            answers |= dict(zip(left, outcomes, strict=True))
        if raws and not answers:
            raise failed or TransientChainError(f"no endpoint may be asked just now: {self.circle.reasons()}")
        if raws and self.policy.broadcast:
            self.circle.gather([partial(_send, endpoint, raws) for endpoint in waiting], wait_s=0.0)
        return [answers[index] for index in range(len(raws))]

    def close(self) -> None:
        """Ends what waits for slower endpoints."""
        self.circle.gather.close()

    def _ask(self, question: Callable[[Gateway], Answer], *, requests: int = 1) -> Answer:
        failed: ChainError | ConfigurationError | None = None
        for endpoint in self.circle.candidates():
            if not self.circle.shares(endpoint):
                continue
            try:
                answer = question(endpoint)
            except ABOUT_THE_QUESTION:
                raise
            except (ChainError, ConfigurationError) as error:
                failed = failed or error
                continue
            self.circle.use(endpoint)
            return answer
        raise failed or TransientChainError(f"no endpoint may be asked just now: {self.circle.reasons()}")

    def _each(
        self, items: Sequence[_Item], question: Callable[[Gateway, Sequence[_Item]], list[_Outcome]]
    ) -> list[_Outcome]:
        """Answers to many questions at once; what one endpoint leaves out is asked of the next."""
        answers = self._ask(lambda node: question(node, items))
        for endpoint in self.circle.candidates():
            lost = [index for index, answer in enumerate(answers) if isinstance(answer, TransientChainError)]
            if not lost:
                break
            if endpoint is self.circle.chosen or not self.circle.shares(endpoint):
                continue
            again = answer_or_none(endpoint, partial(_some, question, [items[index] for index in lost]))
            for index, answer in zip(lost, again or (), strict=False):
                answers[index] = answer
        return answers

    def _confirm_block(self, mine: Block) -> Block:
        number = mine.number
        if self._confirmed.get(number) == mine.hash:
            return mine
        what = f"block {number}"

        def decide(said: Mapping[Endpoint, Block]) -> list[Endpoint]:
            return settle(what, said, key=_hash)

        answer, confirmed = self._agreed(what, number, mine, lambda node: node.block(number), decide, key=_hash)
        if confirmed:
            self._confirmed.pop(number, None)
            self._confirmed[number] = answer.hash
            while len(self._confirmed) > _REMEMBERED:
                del self._confirmed[next(iter(self._confirmed))]
        return answer

    def _agreed(
        self,
        what: str,
        height: int,
        mine: Answer,
        ask: Callable[[Gateway], Answer],
        decide: Callable[[Mapping[Endpoint, Answer]], list[Endpoint]],
        *,
        key: Callable[[Answer], Hashable | list[Log]] = lambda answer: answer,
    ) -> tuple[Answer, int]:
        """The answer that endpoints agree on, and how many others gave it. Raises `EndpointsDisagree`.

        One other is asked, or as many as the quorum needs; all of them once two answers differ.
        """
        chosen = self.circle.chosen
        if chosen is None or not self.circle.checks:
            return mine, 0
        said: dict[Endpoint, Answer] = {chosen: mine}
        needed = max(self.policy.quorum, 2)
        differ = False
        for other in self.circle.verifiers(height):
            if len(said) >= needed and not differ:
                break
            theirs = answer_or_none(other, ask)
            if theirs is not None:
                said[other] = theirs
                differ = differ or key(theirs) != key(mine)
        believed = decide(said) if differ else list(said)
        if len(said) < self.policy.quorum:
            raise TransientChainError(f"too few endpoints confirm {what}: {self.circle.reasons()}")
        if chosen not in believed:
            if not self.circle.shares(believed[0]):
                raise TransientChainError(f"{chosen.name} is contradicted about {what}")
            self.circle.use(believed[0])
        return said[believed[0]], len(believed) - 1


class SecondOpinion(Relay):
    """Implements `Gateway` over whichever endpoints of a `FailoverGateway` are not the one in use.

    Raises `TransientChainError` where there is none that has the block that the view shows.
    """

    def __init__(self, first: FailoverGateway) -> None:
        self._first = first

    def _ask(self, question: Callable[[Gateway], Answer], *, requests: int = 1) -> Answer:
        circle = self._first.circle
        failed: ChainError | ConfigurationError | None = None
        for endpoint in circle.candidates():
            if endpoint is circle.chosen or not circle.shares(endpoint):
                continue
            try:
                return question(endpoint)
            except ABOUT_THE_QUESTION:
                raise
            except (ChainError, ConfigurationError) as error:
                failed = failed or error
        raise failed or TransientChainError(f"no second endpoint can be asked: {circle.reasons()}")


def _open(outcome: bytes | ChainError | None) -> bool:
    return outcome is None or isinstance(outcome, TransientChainError)


def _send(endpoint: Endpoint, raws: Sequence[bytes]) -> None:
    # Whatever it says, another endpoint has given the verdict; trouble is counted where it happens.
    answer_or_none(endpoint, lambda node: node.send_raws(raws))


def _some(question: Callable[[Gateway, Sequence[_Item]], _Outcome], items: Sequence[_Item], node: Gateway) -> _Outcome:
    return question(node, items)


def _hash(block: Block) -> bytes:
    return block.hash
