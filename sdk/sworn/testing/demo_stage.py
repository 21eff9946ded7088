"""Where the demo plays: the chain, the people, and the book in which everything is written down."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, Protocol

from sworn import abi
from sworn.chain.deployment_files import contract_addresses
from sworn.chain.gateway import Call, Receipt
from sworn.chain.signer import LocalSigner
from sworn.chain.transactor import Transactor
from sworn.client import Client
from sworn.errors import SwornError
from sworn.testing.ledger import Entry, LedgerGateway
from sworn.testing.local_chain import LocalChain, well_known_signers
from sworn.testing.local_oracle import ETHER, PACING, LocalOracle
from sworn.types import Address, Request, RequestId

__all__ = ["ETHER", "Chapter", "Narrator", "Stage", "StoryBroken"]

#: Roles by the index of their key; those beyond the chain's own accounts have no ether to begin with.
ROLES: Final = (
    "deployer",
    "operator",
    "signer",
    "requester",
    "lender",
    "borrower",
    "borrower 2",
    "stranger",
    "borrower 3",
    "watcher",
    "friend",
)


class StoryBroken(SwornError):
    """Something that the demo claims is not true on this chain."""


class Narrator(Protocol):
    """Tells the story while it happens."""

    def chapter(self, number: int, title: str, summary: str) -> None:
        """A new chapter begins."""
        ...

    def say(self, text: str) -> None:
        """A sentence about what happens now."""
        ...

    def fact(self, name: str, value: Any) -> None:
        """Something that has just been read from the chain, or computed; amounts have names that end in ``_wei``."""
        ...

    def done(self, seconds: float) -> None:
        """The chapter ends."""
        ...

    def transaction(self, entry: Entry, *, role: str) -> None:
        """A transaction that has been mined."""
        ...

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Numbers side by side; integers are amounts in wei."""
        ...


class Chapter:
    """What is kept of a chapter for the summary."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.seconds = 0.0
        self.facts: dict[str, Any] = {}
        self.transactions: list[dict[str, Any]] = []

    def summary(self) -> dict[str, Any]:
        """The chapter as plain names and values."""
        return {
            "title": self.title,
            "seconds": self.seconds,
            "facts": self.facts,
            "transactions": self.transactions,
        }


class Stage:
    """The chain with its people; every method that sends tells of it."""

    def __init__(self, chain: LocalChain, narrator: Narrator, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.chain = chain
        self.narrator = narrator
        self.ledger = LedgerGateway(chain.gateway)
        #: The lending pool, once there is one.
        self.pool: Address | None = None
        self._oracle: LocalOracle | None = None
        self.chapters: list[Chapter] = []
        self.claims = 0
        self._clock = clock
        self._signers = dict(zip(ROLES, well_known_signers(len(ROLES)), strict=True))
        self._roles = {signer.address: role for role, signer in self._signers.items()}

    def open(self) -> None:
        """Deploys the contracts."""
        self._oracle = LocalOracle(self.chain, gateway=self.ledger)
        self.ledger.name({address: name for name, address in contract_addresses(self._oracle.deployment).items()})

    def close(self) -> None:
        """Ends what was opened; idempotent."""
        if self._oracle is not None:
            self._oracle.close()

    @property
    def oracle(self) -> LocalOracle:
        """The contracts and the watcher. Raises `StoryBroken` before `open`."""
        if self._oracle is None:
            raise StoryBroken("the contracts are not deployed yet")
        return self._oracle

    def required_pool(self) -> Address:
        """The lending pool. Raises `StoryBroken` when there is none yet."""
        if self.pool is None:
            raise StoryBroken("there is no lending pool yet")
        return self.pool

    def signer(self, role: str) -> LocalSigner:
        """The key of a role."""
        return self._signers[role]

    def client(self, role: str) -> Client:
        """The client of a role."""
        return self.oracle.client(self.signer(role))

    @contextmanager
    def chapter(self, title: str, summary: str) -> Iterator[None]:
        """Times a chapter and tells of the transactions in it."""
        self.chapters.append(Chapter(title))
        self.narrator.chapter(len(self.chapters), title, summary)
        begun = self._clock()
        yield
        self.tell()
        self.chapters[-1].seconds = round(self._clock() - begun, 3)
        self.narrator.done(self.chapters[-1].seconds)

    def say(self, text: str) -> None:
        """Tells of what has been sent so far, then says a sentence."""
        self.tell()
        self.narrator.say(text)

    def tell(self) -> None:
        """Tells of the transactions that have been mined since the last time."""
        for entry in self.ledger.take():
            receipt = entry.receipt
            self.check(receipt.succeeded, f"{entry.call} succeeds")
            self.chapters[-1].transactions.append(
                {
                    "call": entry.call,
                    "role": self.role(entry.sender),
                    "hash": receipt.transaction_hash,
                    "block": receipt.block_number,
                    "gas": receipt.gas_used,
                }
            )
            self.narrator.transaction(entry, role=self.role(entry.sender))

    def fact(self, name: str, value: Any, *, told_as: str | None = None, text: str | None = None) -> None:
        """Something that was read or computed; part of the summary. Told under another name or in other words."""
        self.tell()
        self.chapters[-1].facts[name] = value
        self.narrator.fact(told_as or name, value if text is None else text)

    def check(self, holds: bool, claim: str) -> None:
        """Raises `StoryBroken` unless the claim holds."""
        self.claims += 1
        if not holds:
            raise StoryBroken(f"the story does not hold: it is not true that {claim}")

    def role(self, address: Address) -> str:
        """Who an address is."""
        return self._roles.get(address, address)

    def send(self, role: str, contract: str, to: Address, function: str, *args: Any, value_wei: int = 0) -> Receipt:
        """A call by a role to a contract."""
        data = abi.interface(contract).encode(function, *args)
        return self._transactor(role).send(to=to, data=data, value_wei=value_wei)

    def pay(self, role: str, to: str, amount_wei: int) -> Receipt:
        """A transfer between two roles."""
        return self._transactor(role).send(to=self.signer(to).address, data=b"", value_wei=amount_wei)

    def deploy(self, role: str, contract: str, *args: Any) -> Address:
        """A new contract by a role."""
        receipt = self._transactor(role).send(to=None, data=abi.interface(contract).constructor(*args))
        if receipt.contract_address is None:
            raise StoryBroken(f"the node names no address for the new {contract}")
        self.ledger.name({receipt.contract_address: contract})
        return receipt.contract_address

    def view(self, contract: str, address: Address, function: str, *args: Any) -> Any:
        """What a view returns."""
        interface = abi.interface(contract)
        data = self.ledger.call(Call(to=address, data=interface.encode(function, *args)))
        return interface.decode(function, data)

    def event(self, receipt: Receipt, contract: str, name: str) -> Mapping[str, Any]:
        """The arguments of the one event of this name in a receipt."""
        interface = abi.interface(contract)
        logs = [log for log in receipt.logs if log.topics[:1] == (interface.topic(name),)]
        self.check(len(logs) == 1, f"{contract} emits one {name}")
        return interface.decode_log(logs[0].topics, logs[0].data).arguments

    def receipt(self, transaction_hash: bytes | None) -> Receipt:
        """The receipt of a mined transaction."""
        receipt = None if transaction_hash is None else self.ledger.receipt(transaction_hash)
        if receipt is None:
            raise StoryBroken("a transaction that must be mined is not")
        return receipt

    def balance(self, role: str) -> int:
        """A role's wei."""
        return self.ledger.balance(self.signer(role).address)

    def proposal_of(self, request_id: RequestId) -> tuple[Mapping[str, Any], Request]:
        """The newest `ResultProposed` of a request, as emitted, and the request."""
        oracle, interface = self.oracle.deployment.oracle, abi.interface("InferenceOracle")
        head = self.ledger.block("latest").number
        topics = (interface.topic("ResultProposed"), request_id)
        logs = self.ledger.logs(addresses=[oracle], topics=topics, from_block=0, to_block=head)
        self.check(bool(logs), "a result has been proposed")
        request = self.client("stranger").handle(request_id).request
        return interface.decode_log(logs[-1].topics, logs[-1].data).arguments, request

    def input_of(self, request_id: RequestId) -> bytes:
        """The input payload of a request, as emitted."""
        handle = self.client("stranger").handle(request_id)
        emitted = self.event(self.receipt(handle.transaction_hash), "InferenceOracle", "InferenceRequested")["input"]
        return bytes(emitted)

    def recall(self, name: str) -> Any:
        """The newest fact of this name. Raises `StoryBroken` when none has been told."""
        for chapter in reversed(self.chapters):
            if name in chapter.facts:
                return chapter.facts[name]
        raise StoryBroken(f"nothing has been told about {name}")

    def _transactor(self, role: str) -> Transactor:
        chain_id = self.oracle.deployment.chain_id
        return Transactor(gateway=self.ledger, signer=self.signer(role), chain_id=chain_id, pacing=PACING)
