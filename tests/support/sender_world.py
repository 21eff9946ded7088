"""A sender, its chain and its database, as unit tests of transactions need them."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

from tests.support.faulty_node import FaultyNode

from sworn.chain.sender import FeePolicy, Sender
from sworn.chain.signer import LocalSigner
from sworn.chain.telemetry import SilentChainTelemetry
from sworn.chain.transactions import Intent, MemoryTransactionStore, TransactionRecord
from sworn.testing.gateway import MemoryGateway, PoolTransaction
from sworn.types import Address

TARGET = Address("0x" + "77" * 20)
SIGNER = LocalSigner.from_key(bytes([7]) * 32)


class Crash(BaseException):
    """The process dies."""


class Tally(SilentChainTelemetry):
    """Writes down what it hears of transactions and fees."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.fees: list[tuple[str, int]] = []

    def transaction(self, kind: str, event: str) -> None:
        self.events.append(f"{kind} {event}")

    def fees_paid(self, kind: str, wei: int) -> None:
        self.fees.append((kind, wei))


class World:
    """A chain, a store that survives, and senders that come and go."""

    def __init__(self, *, confirmations: int = 2) -> None:
        self.gateway = MemoryGateway()
        self.node = FaultyNode(chain=self.gateway, random=Random(0))
        self.telemetry = Tally()
        self.fees = FeePolicy(max_fee_cap_wei=10**11, bump_after_s=60)
        self.store = MemoryTransactionStore()
        self.confirmations = confirmations
        self.now = 1_000.0
        self.crash_at: str | None = None
        self.crashes: list[str] = []
        self.sender = self.restart()

    def restart(self) -> Sender:
        """A new process with the same store."""
        self.sender = Sender(
            gateway=self.node,
            signer=SIGNER,
            store=self.store,
            chain_id=31337,
            confirmations=self.confirmations,
            fees=self.fees,
            clock=lambda: self.now,
            checkpoint=self._checkpoint,
            telemetry=self.telemetry,
        )
        return self.sender

    def _checkpoint(self, point: str) -> None:
        if point == self.crash_at:
            self.crash_at = None
            self.crashes.append(point)
            raise Crash(point)

    def settle(self) -> None:
        """Polls and mines until nothing is unfinished."""
        for _ in range(10):
            self.gateway.mine()
            self.sender.poll()
        assert self.store.live(SIGNER.address) == []

    def wait(self, seconds: float) -> None:
        """Time and a block pass that bring nothing of ours."""
        self.sender.poll()
        self.gateway.mine(empty=True)
        self.now += seconds
        self.sender.poll()

    def mined(self) -> list[PoolTransaction]:
        """Every transaction on the chain, in order."""
        return [item for block in self.gateway.blocks for item in block.transactions]

    def foreign(self, nonce: int) -> bytes:
        """Sends a transaction of the same key behind the sender's back."""
        raw = SIGNER.sign_transaction(
            {
                "type": 2,
                "chainId": 31337,
                "nonce": nonce,
                "to": TARGET,
                "data": b"foreign",
                "value": 0,
                "gas": 50_000,
                "maxFeePerGas": 10**10,
                "maxPriorityFeePerGas": 10**9,
            }
        )
        return self.gateway.send_raw(raw)


def intent_named(name: str, **changes: Any) -> Intent:
    """An intent that the chain can tell from others."""
    return replace(Intent(key=f"propose:{name}", to=TARGET, data=name.encode(), gas_cap=500_000), **changes)


def record_named(world: World, name: str) -> TransactionRecord:
    """What has become of it."""
    record = world.store.get(f"propose:{name}")
    assert record is not None
    return record
