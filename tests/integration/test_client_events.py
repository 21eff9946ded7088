"""The event stream: order, resumption, reorgs."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import pytest
from tests.support.client_world import World, open_world

from sworn.client import Cursor, Event, RequestHandle, Rewound
from sworn.errors import ConfigurationError
from sworn.testing.local_chain import ChainKind


@pytest.fixture(scope="module")
def stage() -> Iterator[World]:
    """A deployment with one operator."""
    with open_world(ChainKind.EMBEDDED) as world:
        world.enrol()
        yield world


@pytest.fixture
def world(stage: World) -> Iterator[World]:
    """The stage for one test."""
    mark = stage.chain.snapshot()
    yield stage
    stage.chain.revert(mark)


def _events(world: World, **options: object) -> list[Event]:
    found = list(world.client(None).events(follow=False, **options))  # type: ignore[arg-type]
    assert all(isinstance(item, Event) for item in found)
    return [item for item in found if isinstance(item, Event)]


def test_events_from_the_deployment_tell_the_whole_story(world: World) -> None:
    """Every contract's events come in chain order, typed and with their request."""
    handle = world.request()
    names = [event.name for event in _events(world)]
    assert names == ["OperatorRegistered", "SignerChanged", "ModelRegistered", "OfferChanged", "InferenceRequested"]
    last = _events(world)[-1]
    assert last.contract == "InferenceOracle" and last.request_id == handle.request_id
    assert last.arguments["operator"] == world.operator and last.transaction_hash == handle.transaction_hash


def test_events_filters_keep_what_was_asked_for(world: World) -> None:
    """By name and by request."""
    first, second = world.request(), world.request()
    world.propose(second.request)
    assert [event.request_id for event in _events(world, names=["InferenceRequested"])] == [
        first.request_id,
        second.request_id,
    ]
    names = [event.name for event in _events(world, request_id=second.request_id)]
    assert names == ["InferenceRequested", "ResultProposed"]
    assert _events(world, from_block=world.chain.gateway.block("latest").number + 1) == []
    assert _events(world, names=["ResultProposed"], confirmations=1) == []


def test_events_resumed_behind_any_cursor_miss_and_repeat_nothing(world: World) -> None:
    """Stopping behind any event and going on from its cursor's text gives the rest."""
    world.request()
    whole = _events(world)
    for index, event in enumerate(whole):
        rest = _events(world, cursor=str(event.cursor))
        assert [item.cursor for item in rest] == [item.cursor for item in whole[index + 1 :]]


def test_events_followed_live_yield_new_ones_without_rereading(world: World) -> None:
    """A running stream waits, and goes on when something happens."""
    world.request()
    made: list[bytes] = []

    def make_another(seconds: float) -> None:
        made.append(world.request().request_id)

    stream = world.client(None, sleep=make_another).events(names=["InferenceRequested"])
    first, second, third = islice(stream, 3)
    assert isinstance(first, Event) and isinstance(second, Event) and isinstance(third, Event)
    assert [second.request_id, third.request_id] == made


def test_events_reorg_while_following_rewinds_to_the_fork(world: World) -> None:
    """What was read before the fork stands: the rewind goes exactly there."""
    kept = world.request()
    fork = world.chain.gateway.block("latest").number
    steps = iter(range(9))
    mark = world.chain.snapshot()

    def move(seconds: float) -> None:
        match next(steps):
            case 0:
                world.request()
            case 1:
                world.chain.revert(mark)
                world.chain.mine(3)

    items = list(islice(world.client(None, sleep=move).events(from_block=fork), 3))
    assert isinstance(items[0], Event) and items[0].request_id == kept.request_id
    assert isinstance(items[2], Rewound) and items[2].block_number == fork


def test_events_reorg_below_all_that_was_read_rewinds_to_the_start(world: World) -> None:
    """When none of the remembered blocks stand, everything that was read comes again."""
    kept = world.request()
    mark = world.chain.snapshot()
    fork = world.chain.gateway.block("latest").number
    doomed = world.request()
    reborn: list[RequestHandle] = []

    def reorganise(seconds: float) -> None:
        if not reborn:
            world.chain.revert(mark)
            world.chain.mine(2)
            reborn.append(world.request())

    stream = world.client(None, sleep=reorganise).events(from_block=fork)
    items = list(islice(stream, 5))
    rewound = items[2]
    assert isinstance(rewound, Rewound) and rewound.block_number == fork - 1
    # A stream remembers the ends of its batches, and both requests were in one.
    shown = [item.request_id for item in items if isinstance(item, Event)]
    assert shown == [kept.request_id, doomed.request_id, kept.request_id, reborn[0].request_id]


def test_events_cursor_of_a_vanished_block_rewinds_first(world: World) -> None:
    """Whoever comes back after a reorg is told to forget before being told what is new."""
    mark = world.chain.snapshot()
    world.request()
    stale = _events(world)[-1].cursor
    world.chain.revert(mark)
    world.chain.mine(3)
    items = list(world.client(None).events(cursor=stale, follow=False))
    assert isinstance(items[0], Rewound) and items[0].block_number == max(world.deployment.block - 1, 0)
    assert [item.name for item in items if isinstance(item, Event)][-1] == "OfferChanged"


def test_events_cursor_behind_a_lagging_node_takes_nothing_back(world: World) -> None:
    """A node that has not the cursor's block yet is no reason to forget."""
    head = world.chain.gateway.block("latest")
    ahead = Cursor(block_number=head.number + 5, block_hash=b"\x01" * 32)
    assert list(world.client(None).events(cursor=ahead, follow=False)) == []


@pytest.mark.parametrize("text", ["", "1", "1:2", "x:0x00:", "1:zz:1", "1:0x00:1:2"])
def test_cursor_of_other_text_raises_configuration_error(world: World, text: str) -> None:
    """Only what `str` of a cursor gave is one."""
    with pytest.raises(ConfigurationError):
        world.client(None).events(cursor=text)
