"""What is counted about operators, and how little of the chain is read again."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from eth_utils.address import to_checksum_address

from sworn import abi
from sworn.chain.gateway import Log, Topic
from sworn.client.contracts import Contracts
from sworn.client.directory import Census
from sworn.client.tally_file import FileTallyStore
from sworn.client.track_records import ALL_CONTRACTS, OFFERS_ONLY, Tally, TrackRecord, topics_of
from sworn.errors import ChainError, ConfigurationError, TransientChainError
from sworn.testing.gateway import Emission, MemoryGateway
from sworn.types import ZERO_ADDRESS, Address, Deployment, ModelId

_FIELDS = {field.name for field in dataclasses.fields(Deployment)} - {"chain_id", "block", "parameters"}
PLACES = {name: Address(f"0x{index:040x}") for index, name in enumerate(sorted(_FIELDS), start=1)}
DEPLOYMENT = Deployment(chain_id=31337, block=1, parameters=MappingProxyType({}), **PLACES)
ALICE = Address(to_checksum_address("0x" + "a1" * 20))
BOB = Address(to_checksum_address("0x" + "b0" * 20))
MODEL, OTHER = ModelId(bytes([7]) * 32), ModelId(bytes([8]) * 32)
_CONTRACTS = {"operator_registry": "IOperatorRegistry", "oracle": "IInferenceOracle", "dispute_game": "IDisputeGame"}


def word(value: bytes | str | int) -> bytes:
    """A topic."""
    if isinstance(value, int):
        return value.to_bytes(32, "big")
    return (bytes.fromhex(value[2:]) if isinstance(value, str) else value).rjust(32, b"\x00")


def emission(name: str, *indexed: bytes | str | int, data: bytes = b"") -> Emission:
    """An event of ours; what is in its data is not looked at, except where given."""
    contract = next(c for c, i in _CONTRACTS.items() if name in abi.interface(i).events)
    topic = abi.interface(_CONTRACTS[contract]).topic(name)
    return Emission(address=PLACES[contract], topics=(topic, *map(word, indexed)), data=data)


def offered(operator: str, model: bytes = MODEL) -> Emission:
    """An operator announces a model."""
    return emission("OfferChanged", operator, model)


def asked(request: int, operator: str = ZERO_ADDRESS, model: bytes = MODEL) -> Emission:
    """Somebody asks."""
    return emission("InferenceRequested", request, model, operator)


class CountingGateway(MemoryGateway):
    """Remembers which ranges of logs were read."""

    ranges: list[tuple[int, int]]

    def logs(
        self, *, addresses: Sequence[Address], topics: Sequence[Topic], from_block: int, to_block: int
    ) -> list[Log]:
        """As the chain has them."""
        self.ranges = [*getattr(self, "ranges", []), (from_block, to_block)]
        return MemoryGateway.logs(self, addresses=addresses, topics=topics, from_block=from_block, to_block=to_block)


@pytest.fixture
def chain() -> CountingGateway:
    """An empty chain."""
    return CountingGateway()


def census(chain: MemoryGateway, folder: Path | None = None, *, names: tuple[str, ...] = ALL_CONTRACTS) -> Census:
    """A census of the deployment, ten blocks deep."""
    return Census(contracts=Contracts(gateway=chain, deployment=DEPLOYMENT, index=folder), names=names, depth=10)


def read_since(chain: CountingGateway) -> tuple[int, int]:
    """The lowest and the highest block that was read since the last time."""
    ranges, chain.ranges = chain.ranges, []
    return min(first for first, _ in ranges), max(last for _, last in ranges)


def record(tally: Tally, operator: str, **numbers: float | None) -> bool:
    """Whether an operator's record says exactly this, and zero elsewhere."""
    expected = dict.fromkeys((field.name for field in dataclasses.fields(TrackRecord)), 0) | {"median_blocks": None}
    return dataclasses.asdict(tally.record(Address(operator), MODEL)) == expected | numbers


def test_record_of_an_operator_counts_what_it_did(chain: CountingGateway) -> None:
    """Every way in which a request can end counts for whom it must, and for nobody else."""
    chain.mine(emissions=[offered(ALICE), offered(BOB), *(asked(number, ALICE) for number in range(1, 8))])
    chain.mine(3, emissions=[emission("ResultProposed", 1, ALICE), emission("RequestFailed", 3, ALICE)])
    chain.mine(emissions=[emission("ResultProposed", 2, ALICE), emission("FailureReported", 4, BOB)])
    yes, no = word(5) + word(1), word(5) + word(0)
    chain.mine(
        emissions=[
            emission("ResultFinalized", 1, ALICE),
            emission("ResultRefuted", 2, ALICE, data=yes + word(9)),
            emission("SilenceConvicted", 77, ALICE, BOB),
            emission("FaultProven", 77, ALICE, BOB),
            emission("FaultProven", 78, ALICE, BOB),
            emission("EquivocationProven", BOB, ALICE),
            emission("RequestExpired", 5),
            emission("OperatorBarred", 6, ALICE, data=word(1)),
            emission("OperatorBarred", 7, ALICE, data=word(0)),
        ]
    )
    chain.mine(emissions=[emission("ResultProposed", 2, BOB), emission("RequestExpired", 6)])
    chain.mine(emissions=[emission("ResultRefuted", 2, BOB, data=no + word(9)), emission("RequestExpired", 7)])
    tally = census(chain).tally()
    alice = {"proposed": 2, "finalized": 1, "refuted": 1, "failed": 1, "missed": 2, "disputes_lost": 2}
    assert record(tally, ALICE, **alice, median_blocks=2.5)
    assert record(tally, BOB, proposed=1, refuted=1, failed=1, equivocations=1, median_blocks=1.0)
    assert tally.operators(MODEL) == (ALICE, BOB) and set(tally.open) == {word(4).hex()}
    chain.mine(emissions=[emission("ResultProposed", 99, ALICE), emission("ResultFinalized", 99, ALICE)])
    assert record(census(chain).tally(), ALICE, **alice, median_blocks=2.5)


def test_census_reads_only_what_is_new_and_not_yet_settled(chain: CountingGateway, tmp_path: Path) -> None:
    """The second count, also of another process, starts where no reorganisation reaches."""
    chain.mine(30, emissions=[offered(ALICE)])
    first = census(chain, tmp_path)
    assert first.tally().operators(MODEL) == (ALICE,)
    assert read_since(chain) == (1, 30)
    chain.mine(5, emissions=[offered(BOB)])
    for counted in (first, census(chain, tmp_path), census(chain, tmp_path)):
        assert counted.tally().operators(MODEL) == (ALICE, BOB)
        assert read_since(chain)[0] in (21, 26)


def test_census_forgets_what_a_reorganisation_took_back(chain: CountingGateway, tmp_path: Path) -> None:
    """A shallow one was never written down; a deep one is noticed by the hash, and everything is counted anew."""
    chain.mine(30, emissions=[offered(ALICE)])
    chain.mine(5, emissions=[offered(BOB)])
    counted = census(chain, tmp_path)
    assert counted.tally().operators(MODEL) == (ALICE, BOB)
    chain.reorganise(5)
    for each in (counted, census(chain, tmp_path)):
        assert each.tally().operators(MODEL) == (ALICE,)
    chain.reorganise(len(chain.blocks) - 1)
    chain.mine(3, emissions=[offered(BOB, OTHER)])
    for each, since in ((counted, 1), (census(chain, tmp_path), 29)):
        tally = each.tally()
        assert (tally.operators(MODEL), tally.operators(OTHER)) == ((), (BOB,))
        assert read_since(chain)[0] == since


def test_census_of_a_node_that_is_behind_is_what_that_node_knows(chain: CountingGateway, tmp_path: Path) -> None:
    """An index that is ahead of the node does not mix with it, and is not lost by it."""
    chain.mine(60, emissions=[offered(ALICE)])
    census(chain, tmp_path).tally()
    behind = CountingGateway()
    behind.blocks = chain.blocks[:20]
    assert census(behind, tmp_path).tally().operators(MODEL) == (ALICE,)
    chain.ranges = []
    assert census(chain, tmp_path).tally().operators(MODEL) == (ALICE,)


def test_census_that_is_interrupted_goes_on_where_it_was(
    chain: CountingGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that fails halfway through a long history costs the half that is left."""
    monkeypatch.setattr("sworn.client.directory.MAX_RANGE", 10)
    monkeypatch.setattr("sworn.client.directory._SAVE_EVERY", 2)
    chain.mine(100, emissions=[offered(ALICE)])
    logs = chain.logs

    def failing(**asked: Any) -> list[Log]:
        if asked["to_block"] > 50:
            raise TransientChainError("gone")
        return logs(**asked)

    monkeypatch.setattr(CountingGateway, "logs", lambda self, **asked: failing(**asked))
    with pytest.raises(ChainError):
        census(chain, tmp_path).tally()
    monkeypatch.undo()
    chain.ranges = []
    assert census(chain, tmp_path).tally().operators(MODEL) == (ALICE,)
    assert read_since(chain) == (41, 100)


def test_census_of_a_quiet_chain_asks_in_ever_wider_ranges(
    chain: CountingGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A year of blocks in which nothing happened is a handful of queries, and a node's limit is found and kept to."""
    monkeypatch.setattr("sworn.client.directory.MAX_RANGE", 10)
    chain.mine(500, emissions=[offered(ALICE)])
    assert census(chain).tally().operators(MODEL) == (ALICE,)
    assert len(chain.ranges) < 12
    chain.ranges, chain.max_log_range = [], 25
    assert census(chain).tally().operators(MODEL) == (ALICE,)
    served = [(first, last) for first, last in chain.ranges if last - first < 25]
    assert served[0][0] == 1 and served[-1][1] == 500 and len(chain.ranges) - len(served) <= 2
    assert all(before[1] + 1 == after[0] for before, after in pairwise(served))


def test_index_that_is_damaged_or_about_another_deployment_is_not_used(chain: CountingGateway, tmp_path: Path) -> None:
    """A file that cannot be trusted costs time, never a wrong answer."""
    chain.mine(30, emissions=[offered(ALICE)])
    census(chain, tmp_path).tally()
    (file,) = tmp_path.iterdir()
    good = json.loads(file.read_text())
    damages = [
        *("", "{", "[]", json.dumps(good | {"version": 2}), json.dumps(good | {"about": "x"})),
        *(json.dumps(good | {"hash": "zz"}), json.dumps(good | {"hash": "00" * 32})),
        json.dumps(good | {"tally": good["tally"] | {"numbers": {"a": [1]}}}),
        json.dumps(good | {"tally": good["tally"] | {"open": {"a": 1}}}),
        json.dumps(good | {"tally": good["tally"] | {"announced": {MODEL.hex(): [str(BOB)]}}}),
    ]
    for damage in damages:
        file.write_text(damage)
        chain.ranges = []
        assert census(chain, tmp_path).tally().operators(MODEL) == (ALICE,)
        assert read_since(chain)[0] == 1
    assert FileTallyStore(path=tmp_path / "none", about="").load() is None
    with pytest.raises(ConfigurationError):
        census(chain, file / "below").tally()


def test_census_of_offers_reads_the_registry_alone(chain: CountingGateway, tmp_path: Path) -> None:
    """Who only wants prices does not read every request; the two indexes lie side by side."""
    chain.mine(30, emissions=[offered(ALICE), asked(1)])
    tally = census(chain, tmp_path, names=OFFERS_ONLY).tally()
    assert tally.operators(MODEL) == (ALICE,) and tally.open == {}
    assert set(census(chain, tmp_path).tally().open) == {word(1).hex()}
    assert sorted(path.name.partition("-")[0] for path in tmp_path.iterdir()) == ["offers", "records"]
    assert len(topics_of(OFFERS_ONLY)) == 1 and len(topics_of(ALL_CONTRACTS)) == 12
