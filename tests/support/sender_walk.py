"""Random histories of one sender, and what must hold after each of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from random import Random

from eth_account.typed_transactions.typed_transaction import TypedTransaction
from eth_utils.crypto import keccak
from hexbytes import HexBytes
from tests.support.faulty_node import FaultyNode

from sworn.chain.gateway import Call
from sworn.chain.sender import FeePolicy, Sender
from sworn.chain.signer import LocalSigner
from sworn.chain.transactions import Intent, MemoryTransactionStore, TransactionRecord, TransactionStatus
from sworn.errors import ChainError, ContractRevert, FundsTooLow, StoreError, TransactionRejected
from sworn.testing.gateway import PoolTransaction
from sworn.types import Address

TARGET = Address("0x" + "77" * 20)
SIGNER = LocalSigner.from_key(bytes([7]) * 32)
CONFIRMATIONS = 3
ENDS = (TransactionStatus.CONFIRMED, TransactionStatus.REJECTED, TransactionStatus.ABANDONED)


class Crash(BaseException):
    """The process dies."""


class UncertainStore(MemoryTransactionStore):
    """A database whose connection breaks now and then, before or after a commit."""

    def __init__(self, random: Random) -> None:
        super().__init__()
        self.random = random
        self.share = 0.0

    def put_many(self, records: Sequence[TransactionRecord]) -> None:
        broken = self.random.random() < self.share
        if broken and self.random.random() < 0.5:
            raise StoreError("the connection broke")
        super().put_many(records)
        if broken:
            raise StoreError("the connection broke, after the commit as it happens")


class Walk:
    """A sender, a bad node, and dice."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.node = FaultyNode(random=self.random, on_raw=self._sees)
        self.node.chain.on_call = self._call
        self.node.chain.on_transaction = self._execute
        self.store = UncertainStore(self.random)
        self.now = 1_000.0
        self.crash_share = 0.0
        self.names: list[str] = []
        self.unwanted: set[str] = set()
        self.foreign = 0
        self.strayed: list[bytes] = []
        self.restart()

    def restart(self) -> None:
        """A new process over the same database."""
        self.sender = Sender(
            gateway=self.node,
            signer=SIGNER,
            store=self.store,
            chain_id=31337,
            confirmations=CONFIRMATIONS,
            fees=FeePolicy(
                max_fee_cap_wei=10**11,
                bump_after_s=60,
                max_in_flight=12,
                max_cost_wei=6 * 10**15,
                give_up_after_s=60,
                urgent_give_up_after_s=30,
            ),
            clock=lambda: self.now,
            checkpoint=self._checkpoint,
        )

    def step(self) -> None:
        """Something happens, good or bad."""
        weights = {
            self._submit: 6,
            self._poll: 10,
            self._mine: 8,
            self._reorganise: 1,
            self._forget: 1,
            self._intrude: 1,
            self._market: 1,
            self._weather: 2,
            self._object: 1,
            self._clock: 2,
            self._unwant: 1,
            self._again: 2,
        }
        try:
            self.random.choices(list(weights), weights=list(weights.values()))[0]()
        except (ChainError, StoreError):
            pass
        except Crash:
            self.restart()

    def end(self) -> None:
        """The faults end; whoever wants something still wants it. Ends when nothing changes any more."""
        self.node.calm()
        self.store.share = self.crash_share = 0.0
        for _ in range(80):
            self.now += 61
            self._again()
            self.sender.poll(wanted=self._wants)
            self.node.chain.mine()
        self.sender.poll(wanted=self._wants)

    def check(self) -> None:
        """What holds after every history."""
        records = self.store.get_many([f"propose:{name}" for name in self.names])
        for name in self.names:
            # A promise that nobody wants any more, and of which nothing was signed, may stay one.
            ends = (*ENDS, TransactionStatus.INTENDED) if name in self.unwanted else ENDS
            assert f"propose:{name}" not in records or records[f"propose:{name}"].status in ends
        assert self.store.live(SIGNER.address) == []
        done = Counter(item.data.decode() for item, succeeded in self._mined() if succeeded)
        for name in self.names:
            record = records.get(f"propose:{name}")
            succeeded = record is not None and record.status is TransactionStatus.CONFIRMED and bool(record.succeeded)
            assert done[name] == int(succeeded), f"{name}: mined {done[name]} times"
            assert succeeded or name in self.unwanted
        nonces = [item.nonce for item, _ in self._mined()]
        assert nonces == list(range(len(nonces))) and len(nonces) >= (self.store.next_nonce(SIGNER.address) or 0)
        assert self.strayed == [], "broadcast before it was stored"
        own = {attempt.raw for record in records.values() for attempt in record.attempts}
        bad = [(new, old) for new, old in self.node.refused if old in own and _nonce(new) == _nonce(old)]
        assert bad == [], "replacements that a node had to refuse"

    def _mined(self) -> list[tuple[PoolTransaction, bool]]:
        blocks = self.node.chain.blocks
        return [(item, item.hash not in block.failed) for block in blocks for item in block.transactions]

    def _sees(self, raw: bytes) -> None:
        hash_ = keccak(raw)
        stored = (attempt.hash for record in self.store.live(SIGNER.address) for attempt in record.attempts)
        if hash_ not in stored and not self.foreign:
            self.strayed.append(raw)

    def _checkpoint(self, point: str) -> None:
        if self.random.random() < self.crash_share:
            raise Crash(point)

    def _call(self, call: Call) -> bytes:
        if self.random.random() < 0.02:
            raise ContractRevert("not now", data=b"")
        return b""

    def _execute(self, item: PoolTransaction) -> tuple[()]:
        if item.data and item.data[-1] % 7 == 0 and self.random.random() < 0.3:
            raise ContractRevert("too late")
        return ()

    def _wants(self, key: str) -> bool:
        return key.removeprefix("propose:") not in self.unwanted

    def _intents(self, names: Sequence[str]) -> list[Intent]:
        return [
            Intent(
                key=f"propose:{name}",
                to=TARGET,
                data=name.encode(),
                gas_cap=500_000,
                urgent=name.endswith("5"),
            )
            for name in names
        ]

    def _submit(self) -> None:
        fresh = [f"{len(self.names) + index}" for index in range(self.random.randint(1, 5))]
        self.names += fresh
        self.sender.submit_many(self._intents(fresh))

    def _again(self) -> None:
        wanted = [name for name in self.names if name not in self.unwanted]
        known = self.store.get_many([f"propose:{name}" for name in wanted])
        open_ = [name for name in wanted if not _is_over(known.get(f"propose:{name}"))]
        self.sender.submit_many(self._intents(open_))

    def _poll(self) -> None:
        self.now += self.random.choice([0.5, 2, 6])
        self.sender.poll(wanted=self._wants if self.random.random() < 0.8 else None)

    def _mine(self) -> None:
        self.node.chain.mine(empty=self.random.random() < 0.3)

    def _reorganise(self) -> None:
        depth = self.random.randint(1, CONFIRMATIONS)
        if len(self.node.chain.blocks) > depth:
            self.node.chain.reorganise(depth, keep_transactions=self.random.random() < 0.5)

    def _forget(self) -> None:
        self.node.forget(self.random.choice([0.2, 1.0]))

    def _intrude(self) -> None:
        """Somebody else sends with our key."""
        pending = self.node.chain.nonce(SIGNER.address, block="pending")
        nonce = self.random.randint(self.node.chain.nonce(SIGNER.address), pending)
        fields = {"type": 2, "chainId": 31337, "nonce": nonce, "to": TARGET, "data": b"x", "value": 0, "gas": 50_000}
        with suppress(ChainError):
            raw = SIGNER.sign_transaction(fields | {"maxFeePerGas": 10**11, "maxPriorityFeePerGas": 10**10})
            self.node.chain.send_raw(raw)

    def _market(self) -> None:
        self.node.chain.base_fee_wei = self.random.choice([10**9, 10**9, 2 * 10**10, 2 * 10**11])

    def _weather(self) -> None:
        self.node.outage_share = self.random.choice([0.0, 0.0, 0.1, 0.5])
        self.node.silence_share = self.random.choice([0.0, 0.0, 0.5])
        self.node.most_lag = self.random.choice([0, 0, 1, 2])
        self.store.share = self.random.choice([0.0, 0.0, 0.1])
        self.crash_share = self.random.choice([0.0, 0.0, 0.05])

    def _object(self) -> None:
        """The node takes nothing over some cost, or nothing at all, or the account runs low."""
        limit_wei = self.random.choice([10**24, 10**24, 10**15, 10**14, 0])
        error = self.random.choice([TransactionRejected("over the configured cap"), FundsTooLow("insufficient funds")])
        self.node.objection = lambda raw: error if _cost_wei(raw) > limit_wei else None
        self.node.chain.balance_wei = self.random.choice([10**24, 10**24, 3 * 10**15])

    def _clock(self) -> None:
        self.now += self.random.choice([61, 61, 3600, -3600])

    def _unwant(self) -> None:
        if self.names:
            name = self.random.choice(self.names)
            self.unwanted.add(name)
            if self.random.random() < 0.5:
                self.sender.cancel(f"propose:{name}")


def _is_over(record: TransactionRecord | None) -> bool:
    if record is None:
        return False
    if record.status in (TransactionStatus.SIGNED, TransactionStatus.MINED):
        return True
    return record.status is TransactionStatus.CONFIRMED and bool(record.succeeded)


def _nonce(raw: bytes) -> int:
    return int(TypedTransaction.from_bytes(HexBytes(raw)).as_dict()["nonce"])


def _cost_wei(raw: bytes) -> int:
    fields = TypedTransaction.from_bytes(HexBytes(raw)).as_dict()
    return int(fields["gas"]) * int(fields["maxFeePerGas"])
