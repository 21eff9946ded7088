"""Reading the registry's records: every block once, and never for long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from eth_abi.abi import encode

from sworn.abi import interface
from sworn.chain.gateway import Log, Topic
from sworn.codec.structs import MODEL_ABI, model_to_abi
from sworn.errors import ConfigurationError
from sworn.storage.mirrors import MAX_PUBLISHED
from sworn.types import ZERO_HASH, Address, Model, ModelId, Profile
from sworn.watcher.published import ROUND_S, PublishedModels, published_model

REGISTRY = Address("0x" + "22" * 20)
MODEL = Model(
    version=1,
    profile=Profile.EXACT,
    artifact_hash=b"\x01" * 32,
    program_root=b"\x02" * 32,
    weights_root=b"\x03" * 32,
    io_hash=b"\x04" * 32,
    limits_hash=b"\x05" * 32,
)
ID = ModelId(b"\x07" * 32)
OTHER = ModelId(b"\x08" * 32)
#: Of the deployment, and of one log query.
FIRST, RANGE = 100, 10


@dataclass(slots=True)
class Registry:
    """A node that counts what it is asked, and a clock that its answers move."""

    head: int = 999
    logged: list[Log] = field(default_factory=list)
    asked: list[tuple[int, int]] = field(default_factory=list)
    #: Seconds that a log query takes.
    query_s: float = 0.0
    now: float = 0.0

    def block(self, ref: object) -> Any:
        """The newest one."""
        return SimpleNamespace(number=self.head)

    def logs(
        self, *, addresses: Sequence[Address], topics: Sequence[Topic], from_block: int, to_block: int
    ) -> list[Log]:
        """Those about one model in a range."""
        self.asked.append((from_block, to_block))
        self.now += self.query_s
        return [log for log in self.logged if log.topics[1] == topics[1] and from_block <= log.block_number <= to_block]

    def register(self, block: int, model_id: ModelId = ID) -> None:
        """A model becomes known."""
        self._log("ModelRegistered", block, (model_id,), encode([MODEL_ABI], [model_to_abi(MODEL)]))

    def publish(self, block: int, uri: str) -> None:
        """Somebody names a place."""
        self._log("ArtifactPublished", block, (ID, bytes(32)), encode(["string"], [uri]))

    def _log(self, name: str, block: int, topics: tuple[bytes, ...], data: bytes) -> None:
        log = Log(
            address=REGISTRY,
            topics=(interface("ModelRegistry").topic(name), *topics),
            data=data,
            block_number=block,
            block_hash=ZERO_HASH,
            transaction_hash=ZERO_HASH,
            log_index=len(self.logged),
        )
        self.logged.append(log)

    @property
    def contracts(self) -> Any:
        """A deployment on this node."""
        return SimpleNamespace(gateway=self, deployment=SimpleNamespace(block=FIRST, model_registry=REGISTRY))

    @property
    def records(self) -> PublishedModels:
        """A reader with this clock."""
        return PublishedModels(contracts=self.contracts, max_log_range=RANGE, clock=lambda: self.now)


def test_record_is_read_once_and_read_on_from_where_reading_stopped() -> None:
    """Seven thousand queries a minute for every claim whose file cannot be had would stop every dispute."""
    registry = Registry()
    registry.register(150)
    registry.publish(990, "https://a.example/m")
    records = registry.records
    record = records.look(ID)
    assert record == published_model(registry.contracts, ID, max_log_range=RANGE)
    assert record is not None and record.uris == ("https://a.example/m",)
    registry.asked.clear()
    assert records.look(ID) == record and not registry.asked
    for number in range(3):
        registry.head += 1
        registry.publish(registry.head, f"https://b.example/{number}")
        records.doubt(ID)
        registry.asked.clear()
        again = records.look(ID)
        assert again is not None and again.uris[-1] == f"https://b.example/{number}" and len(again.uris) == number + 2
        # Blocks that may have been replaced are read again, and no others.
        assert len(registry.asked) == 7 and registry.asked[0][0] == registry.head - 64


def test_model_that_is_not_registered_costs_new_blocks_only() -> None:
    """Anybody may ask about a model that nobody has registered, and be answered with anything."""
    registry = Registry()
    records = registry.records
    with pytest.raises(ConfigurationError):
        records.look(ID)
    registry.asked.clear()
    with pytest.raises(ConfigurationError):
        records.look(ID)
    assert len(registry.asked) == 7
    registry.head += 1
    registry.register(registry.head)
    assert records.look(ID) is not None


def test_reading_is_put_off_to_further_rounds_and_ends() -> None:
    """Fifteen million blocks take minutes, in which demands have to be answered to and faults proven."""
    registry = Registry(query_s=ROUND_S / 20)
    registry.register(150)
    registry.register(150, OTHER)
    records, rounds, longest = registry.records, 0, 0
    while records.look(ID) is None:
        told = [records.has_more]
        assert records.waits(ID) and records.waits(OTHER)
        before = len(registry.asked)
        assert records.look(OTHER) is None and len(registry.asked) == before
        longest = max(longest, before)
        registry.asked.clear()
        records.next_round()
        told.append(records.has_more)
        assert told == [True, False]
        rounds += 1
    assert 3 <= rounds <= 6 and longest <= 21
    assert not records.waits(ID)


def test_flood_of_places_is_not_kept_whole() -> None:
    """Places cost little to publish; the first and the last are tried, and so the first and the last are kept."""
    registry = Registry()
    registry.register(150)
    for number in range(2000):
        registry.publish(151, f"https://{number}.example/")
    record = registry.records.look(ID)
    assert record is not None and len(record.uris) <= 4 * MAX_PUBLISHED
    half = MAX_PUBLISHED // 2
    assert record.uris[:half] == tuple(f"https://{number}.example/" for number in range(half))
    assert record.uris[-half:] == tuple(f"https://{number}.example/" for number in range(2000 - half, 2000))
