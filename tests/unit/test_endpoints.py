from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from tests.support.faulty_gateway import Clock, FaultyGateway, endpoint_over

from sworn.chain.endpoints import FailoverGateway, SecondOpinion
from sworn.chain.endpoints_node import Notice, NoticeKind
from sworn.chain.endpoints_policy import CrossCheck, FailoverPolicy, OneByOne, Together
from sworn.chain.gateway import Call, Log
from sworn.chain.log_window import LogWindow
from sworn.errors import (
    ChainError,
    ChainIdMismatch,
    ConfigurationError,
    ContractRevert,
    EndpointsDisagree,
    LogRangeRefused,
    RateLimited,
    SwornError,
    TransactionKnown,
    TransientChainError,
)
from sworn.testing.gateway import Emission, MemoryGateway
from sworn.types import ZERO_ADDRESS, Address

CONTRACT = Address("0x" + "11" * 20)
TOPIC = b"\x01" * 32
DOWN = TransientChainError("down")


class Nodes:
    """Some nodes before one chain of ten blocks, and the gateway over them."""

    def __init__(self, count: int, **policy: object) -> None:
        self.chain = MemoryGateway()
        self.chain.mine(10, emissions=[Emission(address=CONTRACT, topics=(TOPIC,))])
        self.clock = Clock()
        self.nodes = [FaultyGateway(self.chain, self.clock) for _ in range(count)]
        self.notices: list[Notice] = []
        self.gateway = FailoverGateway(
            [
                endpoint_over(node, name, self.clock, self.notices)
                for node, name in zip(self.nodes, "abcd", strict=False)
            ],
            policy=FailoverPolicy(**policy),  # type: ignore[arg-type]
            clock=self.clock,
            wall=self.clock,
            gather=OneByOne(),
        )

    def __getitem__(self, index: int) -> FaultyGateway:
        return self.nodes[index]

    @property
    def chosen(self) -> str | None:
        """Name of the endpoint in use."""
        return None if self.gateway.circle.chosen is None else self.gateway.circle.chosen.name

    def head(self) -> int:
        """Opens a view."""
        return self.gateway.block("latest").number

    def logs(self, first: int = 1, last: int = 10) -> list[Log]:
        """The contract's logs."""
        return self.gateway.logs(addresses=[CONTRACT], topics=[TOPIC], from_block=first, to_block=last)

    def told(self, kind: NoticeKind) -> list[str]:
        """Endpoints about which such a notice was given."""
        return [notice.endpoint for notice in self.notices if notice.kind is kind]


def test_gateway_with_primary_down_uses_the_next_and_returns_later() -> None:
    """An outage of the preferred node costs nothing, and ends when it has been well for a while."""
    nodes = Nodes(2)
    assert (nodes.head(), nodes.chosen) == (10, "a")
    nodes[0].error = DOWN
    assert (nodes.head(), nodes.chosen) == (10, "b")
    nodes.head()
    assert nodes.told(NoticeKind.LEFT_ALONE) == ["a"]
    nodes[0].error = None
    nodes.clock.sleep(10)
    assert (nodes.head(), nodes.chosen) == (10, "b")
    nodes.clock.sleep(60)
    assert (nodes.head(), nodes.chosen) == (10, "a")
    assert nodes.told(NoticeKind.SWITCHED) == ["b", "a"]


def test_gateway_that_fails_within_a_view_goes_on_only_where_the_view_holds() -> None:
    """Half a turn from one node and half from one that is behind would undo nonces and states already read."""
    nodes = Nodes(2)
    nodes.head()
    nodes[0].error = DOWN
    nodes[1].lag = 1
    with pytest.raises(TransientChainError):
        nodes.gateway.nonce(ZERO_ADDRESS)
    nodes[1].lag = 0
    assert nodes.gateway.nonce(ZERO_ADDRESS) == 0
    assert nodes.chosen == "b"


def test_gateway_never_shows_an_older_head_until_patience_ends() -> None:
    """A node that is behind is waited for; only when nobody has the newer block for long did the chain get shorter."""
    nodes = Nodes(2, patience_s=15.0)
    assert nodes.head() == 10
    nodes[0].error, nodes[1].lag = DOWN, 2
    for _ in range(3):
        with pytest.raises(TransientChainError):
            nodes.head()
    assert nodes.told(NoticeKind.WENT_BACK) == ["b"]
    nodes.clock.sleep(20)
    assert nodes.head() == 8


def test_gateway_shows_only_heads_that_a_second_node_has() -> None:
    """What is shown can be checked: the newest block of one node alone waits until another one has it."""
    nodes = Nodes(2)
    nodes[1].lag = 1
    assert (nodes.head(), nodes.chosen) == (9, "a")
    nodes[1].lag = 0
    assert nodes.head() == 10


def test_gateway_preferred_node_that_is_late_is_not_waited_for() -> None:
    """A node some blocks behind makes every answer late; a block's delay now and then is no reason to change nodes."""
    nodes = Nodes(3)
    assert (nodes.head(), nodes.chosen) == (10, "a")
    nodes.chain.mine()
    nodes[0].lag = 1
    assert (nodes.head(), nodes.chosen) == (10, "a")
    nodes.chain.mine(3)
    nodes[0].lag = 3
    assert (nodes.head(), nodes.chosen) == (14, "b")
    nodes[0].lag = 1
    assert nodes.chosen == "b" and nodes.head() == 14
    nodes[0].lag = 0
    assert (nodes.head(), nodes.chosen) == (14, "a")


def test_gateway_over_node_that_asks_for_rest_leaves_it_alone_that_long() -> None:
    """A 429 is obeyed to the second: a provider that is asked on blocks the key."""
    nodes = Nodes(1)
    nodes[0].error = RateLimited("429", retry_after_s=7)
    with pytest.raises(RateLimited):
        nodes.head()
    asked = sum(nodes[0].asked.values())
    nodes[0].error = None
    nodes.clock.sleep(6.9)
    with pytest.raises(TransientChainError):
        nodes.head()
    assert sum(nodes[0].asked.values()) == asked
    nodes.clock.sleep(0.2)
    assert nodes.head() == 10


def test_gateway_with_all_nodes_resting_still_asks_one() -> None:
    """A broken line that is back is noticed at the next poll, not after the longest rest."""
    nodes = Nodes(2)
    nodes[0].error = nodes[1].error = DOWN
    for _ in range(8):
        with pytest.raises(TransientChainError):
            nodes.head()
    nodes[0].error = nodes[1].error = None
    assert 10 in {nodes.head() for _ in range(1)}


def test_gateway_over_two_nodes_that_disagree_refuses_and_says_which() -> None:
    """With two, nobody knows who is right: nothing is acted on, and both are named."""
    nodes = Nodes(2)
    nodes[1].wrong = lambda number: number == 8
    with pytest.raises(EndpointsDisagree) as caught:
        nodes.head()
    assert all(text in str(caught.value) for text in ("block 8", "a says", "b says"))
    assert sorted(nodes.told(NoticeKind.DISAGREEMENT)) == ["a", "b"]
    nodes[1].wrong = lambda number: False
    assert nodes.head() == 10


def test_gateway_over_three_nodes_bans_the_one_that_is_outvoted() -> None:
    """A majority decides, the one that it contradicts is left alone, and asked again after its ban."""
    nodes = Nodes(3)
    nodes[0].wrong = lambda number: number == 8
    assert (nodes.head(), nodes.chosen) == (10, "b")
    assert nodes.told(NoticeKind.CONTRADICTED) == ["a"]
    asked = sum(nodes[0].asked.values())
    nodes.head()
    assert sum(nodes[0].asked.values()) == asked
    nodes[0].wrong = lambda number: False
    nodes.clock.sleep(100)
    nodes.head()
    assert sum(nodes[0].asked.values()) > asked


def test_gateway_header_by_number_is_confirmed_once_by_another() -> None:
    """A single wrong header would undo work that stands; a confirmed one is not paid for twice."""
    nodes = Nodes(3)
    nodes.head()
    nodes[0].wrong = lambda number: number == 4
    assert nodes.gateway.block(4) == nodes.chain.block(4)
    assert nodes.chosen == "b"
    before = nodes[2].asked["block"]
    assert nodes.gateway.block(4) == nodes.chain.block(4)
    assert nodes[2].asked["block"] == before


def test_gateway_logs_that_one_of_two_leaves_out_are_settled_by_its_own_receipts() -> None:
    """A node whose log index lags admits it in its receipts: two endpoints go on without a third."""
    nodes = Nodes(2)
    nodes.chain.on_transaction = lambda transaction: [Emission(address=CONTRACT, topics=(TOPIC,))]
    expected = _with_transaction(nodes)
    nodes.head()
    for gap in (0, 1):
        nodes[gap].omits, nodes[1 - gap].omits = (lambda log: log.block_number == 11), (lambda log: False)
        assert nodes.logs(1, 11) == expected
        nodes.clock.sleep(1000)
        nodes.head()


def _with_transaction(nodes: Nodes) -> list[Log]:
    from eth_account import Account

    key = Account.from_key(b"\x01" * 32)
    terms = {"nonce": 0, "gas": 21_000, "maxFeePerGas": 10**10, "maxPriorityFeePerGas": 1, "chainId": 31337}
    nodes.chain.send_raw(bytes(key.sign_transaction(terms | {"to": CONTRACT, "value": 0}).raw_transaction))
    nodes.chain.mine()
    return [log for block in nodes.chain.blocks for log in block.logs]


def test_gateway_logs_that_contradict_without_evidence_are_refused() -> None:
    """A log that nobody can show a receipt of is neither taken nor dropped: the range waits."""
    nodes = Nodes(2)
    nodes.head()
    nodes[1].omits = lambda log: True
    with pytest.raises(EndpointsDisagree):
        nodes.logs()
    nodes.gateway.policy = FailoverPolicy(cross_check=CrossCheck.HEADERS)
    assert len(nodes.logs()) == 1


def test_gateway_with_quorum_waits_for_a_second_node() -> None:
    """Whoever sets a quorum would rather wait than believe one node alone."""
    nodes = Nodes(2, quorum=2)
    nodes[1].error = DOWN
    with pytest.raises(TransientChainError):
        nodes.head()
    nodes[1].error = None
    assert nodes.head() == 10
    nodes[1].error = DOWN
    with pytest.raises(TransientChainError):
        nodes.logs()


def test_gateway_made_up_head_is_noticed_by_what_it_stands_on() -> None:
    """A head far ahead with nothing below it is no head, also where there is only one node."""
    for count in (1, 2, 3):
        nodes = Nodes(count)
        nodes.head()
        nodes[0].ahead = 1000
        if count == 1:
            with pytest.raises(TransientChainError):
                nodes.head()
        else:
            assert (nodes.head(), nodes.chosen) == (10, "b")
        assert nodes.told(NoticeKind.LEFT_ALONE) == ["a"]


def test_gateway_silent_head_is_left_for_a_node_that_moves() -> None:
    """A node whose chain has stopped answers promptly, and every deadline passes."""
    nodes = Nodes(2, silent_after_s=60.0)
    nodes.head()
    nodes[0].fork = list(nodes.chain.blocks)
    nodes.chain.mine(3)
    nodes.head()
    assert nodes.chosen == "a"
    nodes.clock.sleep(61)
    nodes.chain.mine()
    assert (nodes.head(), nodes.chosen) == (14, "b")
    assert nodes.told(NoticeKind.ASTRAY) == ["a"]


def test_gateway_chain_without_blocks_is_reported_once() -> None:
    """Silence everywhere is said once and again after it ended, not at every poll."""
    nodes = Nodes(1, silent_after_s=60.0)
    nodes.head()
    nodes.clock.sleep(100)
    nodes.head()
    nodes.head()
    assert nodes.told(NoticeKind.SILENT) == ["a"]
    assert nodes.head() == 10


def test_gateway_tag_of_one_node_alone_finalizes_nothing() -> None:
    """What is final is never undone, so one node's word does not make it so."""
    nodes = Nodes(2)
    nodes.head()
    nodes[0].final, nodes[1].final = 9, 5
    assert nodes.gateway.block("finalized") == nodes.chain.block(5)
    nodes[0].final = 3
    assert nodes.gateway.block("finalized") == nodes.chain.block(3)


def test_gateway_on_another_chain_is_refused_at_the_start() -> None:
    """A test network's node among the others would show empty contracts, or worse, other ones."""
    clock, chain = Clock(), MemoryGateway()
    wrong = MemoryGateway(identity=5)
    endpoints = [endpoint_over(node, name, clock, chain_id=31337) for node, name in ((chain, "a"), (wrong, "b"))]
    with pytest.raises(ChainIdMismatch):
        FailoverGateway(endpoints, clock=clock, gather=OneByOne()).identify()
    with pytest.raises(ConfigurationError):
        FailoverGateway([])


@pytest.mark.parametrize("error", [DOWN, ChainError("eth_chainId: unknown key"), ConfigurationError("HTTP 401")])
def test_gateway_start_with_one_node_down_asks_its_chain_when_it_is_back(error: SwornError) -> None:
    """A node that was down at the start, or would not have us, stops nobody, and is not trusted for that."""
    clock, chain = Clock(), MemoryGateway(identity=5)
    late = FaultyGateway(chain, clock)
    late.error = error
    right = MemoryGateway()
    gateway = FailoverGateway(
        [endpoint_over(late, "a", clock, chain_id=31337), endpoint_over(right, "b", clock, chain_id=31337)],
        clock=clock,
        gather=OneByOne(),
    )
    gateway.identify()
    late.error = None
    clock.sleep(100)
    assert gateway.block("latest") == right.block("latest")
    assert gateway.circle.chosen is gateway.circle.endpoints[1]


def test_gateway_revert_is_an_answer_and_asked_of_nobody_else() -> None:
    """A refusing contract refuses everywhere; asking around would only multiply the load."""

    def refuse(call: Call) -> bytes:
        raise ContractRevert("no")

    nodes = Nodes(2)
    nodes.chain.on_call = refuse
    nodes.head()
    before = nodes[1].asked["other"]
    with pytest.raises(ContractRevert):
        nodes.gateway.call(Call(to=CONTRACT, data=b""))
    assert nodes[1].asked["other"] == before


class Partial(FaultyGateway):
    """Answers every second item only."""

    def calls(self, calls: Sequence[Call], *, block: object = "latest") -> list[bytes | ChainError]:
        return [DOWN if index % 2 else call.data for index, call in enumerate(calls)]

    def send_raws(self, raws: Sequence[bytes]) -> list[bytes | ChainError]:
        self.asked["sent"] += len(raws)
        return [DOWN if index % 2 else TransactionKnown("known") for index, _ in enumerate(raws)]


class Whole(FaultyGateway):
    """Answers every item."""

    def calls(self, calls: Sequence[Call], *, block: object = "latest") -> list[bytes | ChainError]:
        self.asked["calls"] += len(calls)
        return [call.data for call in calls]

    def send_raws(self, raws: Sequence[bytes]) -> list[bytes | ChainError]:
        self.asked["sent"] += len(raws)
        return [raw * 2 for raw in raws]


def _pair(broadcast: bool) -> tuple[FailoverGateway, Partial, Whole]:
    clock, chain = Clock(), MemoryGateway()
    partial, whole = Partial(chain, clock), Whole(chain, clock)
    endpoints = [endpoint_over(partial, "a", clock), endpoint_over(whole, "b", clock)]
    policy = FailoverPolicy(broadcast=broadcast)
    return FailoverGateway(endpoints, policy=policy, clock=clock, wall=clock, gather=OneByOne()), partial, whole


def test_gateway_batch_asks_another_node_for_exactly_what_is_missing() -> None:
    """A batch that broke off half-way is completed, not repeated."""
    gateway, _, whole = _pair(broadcast=False)
    gateway.block("latest")
    data = [bytes([index]) for index in range(5)]
    assert gateway.calls([Call(to=None, data=item) for item in data]) == data
    assert whole.asked["calls"] == 2


@pytest.mark.parametrize(("broadcast", "reached"), [(False, 2), (True, 2)])
def test_gateway_transactions_without_a_verdict_go_to_the_next_node(broadcast: bool, reached: int) -> None:
    """Silence about a transaction is no verdict; a verdict of the node in use is not overruled by another."""
    gateway, partial, whole = _pair(broadcast=broadcast)
    gateway.block("latest")
    outcomes = gateway.send_raws([b"0", b"1", b"2", b"3"])
    assert [type(item) for item in outcomes] == [TransactionKnown, bytes, TransactionKnown, bytes]
    assert (partial.asked["sent"], whole.asked["sent"]) == (4, reached)


def test_gateway_transactions_are_broadcast_to_all_nodes() -> None:
    """A node that takes a transaction and keeps it to itself cannot hold up its nonce."""
    gateway, partial, whole = _pair(broadcast=True)
    partial.error = None
    gateway.block("latest")
    gateway.circle.use(gateway.circle.endpoints[1])
    assert gateway.send_raws([b"0", b"1"]) == [b"00", b"11"]
    assert (partial.asked["sent"], whole.asked["sent"]) == (2, 2)


def test_gateway_that_no_node_takes_transactions_for_says_so() -> None:
    """An item without any answer is trouble with the nodes, to be tried again, and no refusal."""
    nodes = Nodes(2)
    nodes.head()
    nodes[0].error = nodes[1].error = DOWN
    with pytest.raises(TransientChainError):
        nodes.gateway.send_raws([b"0"])


def test_second_opinion_comes_from_another_node_or_not_at_all() -> None:
    """Whoever puts a bond at risk asks twice; asking the same node twice would be no question."""
    nodes = Nodes(2)
    nodes.head()
    opinion = SecondOpinion(nodes.gateway)
    before = nodes[1].asked["other"]
    opinion.nonce(ZERO_ADDRESS)
    assert nodes[1].asked["other"] == before + 1
    nodes[1].lag = 3
    nodes.chain.mine()
    nodes.head()
    nodes[1].error = DOWN
    with pytest.raises(TransientChainError):
        opinion.nonce(ZERO_ADDRESS)


def test_gateway_threads_do_not_wait_for_a_node_that_hangs() -> None:
    """One node that never answers must not slow every poll down to its timeout."""
    import threading

    gate, done = threading.Event(), []

    def quick() -> None:
        done.append(1)

    def stuck() -> None:
        gate.wait(30)

    tasks: list[Callable[[], None]] = [quick, stuck]
    together = Together(2)
    together(tasks, wait_s=0.05, enough=lambda: bool(done))
    assert done == [1]
    gate.set()
    together.close()


def test_gateway_refuses_more_logs_than_are_to_be_held_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A range is put together from many answers: where requests are dense, all of it would not fit into memory."""
    monkeypatch.setattr("sworn.chain.endpoints_node.MOST_LOGS", 3)
    nodes = Nodes(2)
    for _ in range(10):
        nodes.chain.mine(emissions=[Emission(address=CONTRACT, topics=(TOPIC,))])
    nodes.head()
    every = nodes.chain.logs(addresses=[CONTRACT], topics=[TOPIC], from_block=1, to_block=20)
    assert len(every) == 11
    for endpoint in nodes.gateway.circle.endpoints:
        endpoint.window = LogWindow(2)
    with pytest.raises(LogRangeRefused, match="alone have"):
        nodes.logs(1, 20)
    # It is nobody's fault, and whoever asks for less gets all of them.
    assert not any(endpoint.breaker.resting for endpoint in nodes.gateway.circle.endpoints)
    assert [log for first in range(1, 21, 2) for log in nodes.logs(first, first + 1)] == every
