from __future__ import annotations

from random import Random

import pytest
from tests.support.faulty_gateway import Clock, FaultyGateway, endpoint_over

from sworn.chain.endpoints import FailoverGateway
from sworn.chain.endpoints_node import Notice
from sworn.chain.endpoints_policy import FailoverPolicy, OneByOne
from sworn.chain.follower import BlockId, LogFollower
from sworn.chain.gateway import Log
from sworn.errors import ChainError, EndpointsDisagree, RateLimited, TransientChainError
from sworn.testing.gateway import Emission, MemoryGateway
from sworn.types import Address

CONTRACT = Address("0x" + "Aa" * 20)
TOPIC = b"\x01" * 32
DEEPEST = 6


class Walk:
    """A chain, some nodes in front of it, and a follower that reads through all of them."""

    def __init__(self, seed: int, *, nodes: int, liar: bool, quorum: int) -> None:
        self.random = Random(seed)
        self.clock = Clock()
        self.chain = MemoryGateway()
        self.nodes = [FaultyGateway(self.chain, self.clock) for _ in range(nodes)]
        self.liar = self.random.randrange(nodes) if liar else None
        self.notices: list[Notice] = []
        gateway = FailoverGateway(
            [
                endpoint_over(node, f"node{index}", self.clock, self.notices, random=self.random)
                for index, node in enumerate(self.nodes)
            ],
            policy=FailoverPolicy(quorum=quorum, depth=2),
            clock=self.clock,
            wall=self.clock,
            gather=OneByOne(),
        )
        self.follower = LogFollower(
            gateway=gateway, addresses=(CONTRACT,), topics=(TOPIC,), start_block=1, max_range=7, history_length=4
        )
        self.history: tuple[BlockId, ...] = ()
        self.logs: list[Log] = []
        self.disagreements = 0

    def move(self, number: int) -> None:
        """The chain, the nodes or the follower do something."""
        choice = self.random.random()
        if choice < 0.3:
            emission = Emission(address=CONTRACT, topics=(TOPIC,), data=number.to_bytes(32, "big"))
            self.chain.mine(self.random.randint(1, 3), emissions=[emission] * self.random.randint(0, 2))
        elif choice < 0.36 and len(self.chain.blocks) > DEEPEST:
            self.chain.reorganise(self.random.randint(1, DEEPEST))
            self.chain.mine()
        elif choice < 0.5:
            self.weather()
        else:
            self.clock.sleep(self.random.choice((0.1, 1, 5, 30)))
            self.step()

    def weather(self) -> None:
        """Each node gets another trouble, or none; at most one of them says what is not so."""
        for index, node in enumerate(self.nodes):
            self.calm(node)
            trouble = self.random.randrange(8)
            node.error = {0: TransientChainError("down"), 1: RateLimited("429", retry_after_s=2)}.get(trouble)
            node.lag = self.random.randint(0, 4) if trouble == 2 else 0
            node.max_range = self.random.randint(1, 5) if trouble == 3 else 0
            node.repeats_logs = trouble == 4
            if index == self.liar:
                self.lie(node)

    def lie(self, node: FaultyGateway) -> None:
        """One of the ways to be wrong."""
        lie = self.random.randrange(6)
        if lie == 0:
            node.ahead = self.random.choice((1, 3, 1000))
        elif lie == 1:
            salt = self.random.randrange(3)
            node.wrong = lambda number: number % 3 == salt
        elif lie == 2:
            node.omits = lambda log: True
        elif lie == 3:
            node.omits = lambda log: log.log_index == 0
        elif lie == 4:
            node.fork = list(self.chain.blocks)

    def calm(self, node: FaultyGateway) -> None:
        """Nothing is wrong with a node any more."""
        node.error, node.lag, node.ahead, node.max_range, node.fork = None, 0, 0, 0, None
        node.repeats_logs, node.wrong, node.omits = False, lambda number: False, lambda log: False

    def step(self) -> bool:
        """One step of the follower; whether it says that it has caught up."""
        try:
            step = self.follower.step(self.history)
        except EndpointsDisagree:
            self.disagreements += 1
            return False
        except ChainError:
            return False
        if step.rewound_to is not None:
            self.logs = [log for log in self.logs if log.block_number <= (step.rewound_to or 0)]
        self.logs.extend(step.logs)
        self.history = step.history
        return step.caught_up

    def settle(self) -> None:
        """Good weather for long enough that everybody is asked again."""
        for node in self.nodes:
            self.calm(node)
        for _ in range(300):
            self.clock.sleep(60)
            if self.step():
                return
        raise AssertionError("the follower never caught up")

    @property
    def standing(self) -> list[Log]:
        """The chain's logs."""
        return [log for block in self.chain.blocks for log in block.logs]


def run(seed: int, *, nodes: int, liar: bool, quorum: int, moves: int = 120) -> Walk:
    """A walk to its end."""
    walk = Walk(seed, nodes=nodes, liar=liar, quorum=quorum)
    for number in range(moves):
        walk.move(number)
        if number % 40 == 39:
            walk.settle()
            assert walk.logs == walk.standing
    walk.settle()
    return walk


def check(walk: Walk) -> None:
    """What was delivered is what stands, once each."""
    assert walk.logs == walk.standing
    assert walk.history[-1].hash == walk.chain.blocks[-1].header.hash


@pytest.mark.parametrize("seed", range(12))
def test_follower_over_nodes_that_fail_delivers_the_final_chain(seed: int) -> None:
    """Silence, limits, lag, range caps and repeats cost time only: a request that is lost here is never answered."""
    check(run(seed, nodes=1 + seed % 3, liar=False, quorum=1))


@pytest.mark.parametrize("seed", range(12))
def test_follower_over_three_nodes_with_a_liar_delivers_the_final_chain(seed: int) -> None:
    """With two that must agree, one that lies about heads, hashes or logs changes nothing that is acted on."""
    check(run(seed, nodes=3, liar=True, quorum=2))


@pytest.mark.parametrize("seed", range(12))
def test_follower_over_two_nodes_with_a_liar_delivers_the_final_chain_or_refuses(seed: int) -> None:
    """Two nodes cannot outvote each other: what they contradict each other on is not acted on at all."""
    check(run(seed, nodes=2, liar=True, quorum=2))


def test_walks_with_a_liar_meet_disagreements_and_bans() -> None:
    """The walks do what they are for: lies are met, and some of them are outvoted."""
    pairs = [run(seed, nodes=2, liar=True, quorum=2) for seed in range(6)]
    assert sum(walk.disagreements for walk in pairs) > 5
    trios = [run(seed, nodes=3, liar=True, quorum=2) for seed in range(6)]
    assert sum(notice.kind.value == "contradicted" for walk in trios for notice in walk.notices) > 5


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 400))
def test_follower_over_any_nodes_in_long_walks_delivers_the_final_chain(seed: int) -> None:
    """The same walks, longer and with many more seeds."""
    liar = bool(seed % 2)
    check(run(seed, nodes=2 + seed % 3, liar=liar, quorum=2 if liar else 1, moves=400))
