"""A chain that misbehaves: blocks by hand, reorganisations, a forgetful mempool, fees that leap."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import requests
from eth_utils.address import to_checksum_address

from sworn.chain.gateway import Gateway
from sworn.errors import ChainError
from sworn.testing.anvil import AnvilChain
from sworn.types import Address

#: Seconds of the chain between two blocks.
BLOCK_S: Final = 12
#: Deepest reorganisation.
MAX_DEPTH: Final = 12


@dataclass(slots=True, kw_only=True)
class Purse:
    """Transactions that somebody keeps sending until they are mined, as wallets do, by nonce."""

    address: Address
    start: int
    raws: list[bytes] = field(default_factory=list)

    def missing(self, gateway: Gateway) -> list[bytes]:
        """What the newest block does not know."""
        return self.raws[gateway.nonce(self.address) - self.start :]


@dataclass(slots=True, kw_only=True)
class Storm:
    """Drives an anvil whose blocks are mined by `tick` alone."""

    chain: AnvilChain
    purses: dict[Address, Purse] = field(default_factory=dict)
    #: Seconds of the chain between two blocks.
    block_s: int = BLOCK_S
    #: Blocks for which the base fee stays where a leap has put it.
    dear_blocks: int = 0
    depths: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rpc("evm_setAutomine", False)

    def rpc(self, method: str, *params: Any) -> Any:
        """A call that has to succeed."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        answer = requests.post(self.chain.url, json=body, timeout=60).json()
        if "error" in answer:
            raise AssertionError(f"{method}: {answer['error']}")
        return answer.get("result")

    def tick(self) -> None:
        """One block, with whatever the pool has; senders repeat what was lost."""
        self.repeat()
        head = self.chain.gateway.block("latest")
        self.rpc("evm_setNextBlockTimestamp", hex(head.timestamp + self.block_s))
        if self.dear_blocks:
            self.dear_blocks -= 1
            self.rpc("anvil_setNextBlockBaseFeePerGas", hex(head.base_fee))
        self.rpc("evm_mine")

    def send(self, sender: Address, raw: bytes) -> None:
        """Takes a signed transaction into a sender's purse; it is mined sooner or later."""
        sender = Address(to_checksum_address(sender))
        if sender not in self.purses:
            self.purses[sender] = Purse(address=sender, start=self.chain.gateway.nonce(sender))
        self.purses[sender].raws.append(raw)

    def repeat(self) -> None:
        """Sends again what is in no block."""
        for purse in self.purses.values():
            for raw in purse.missing(self.chain.gateway):
                try:
                    self.chain.gateway.send_raw(raw)
                except ChainError:
                    # It waits in the pool already.
                    continue

    def reorganise(self, depth: int) -> None:
        """Replaces the newest blocks by as many empty ones: what they held is nowhere, not even in the pool."""
        self.depths.append(depth)
        self.rpc("anvil_reorg", depth, [])

    def forget(self) -> None:
        """The mempool loses everything."""
        self.rpc("anvil_dropAllTransactions")

    def leap(self, factor: int, blocks: int) -> None:
        """The base fee is so many times what it was, for some blocks."""
        base_fee = self.chain.gateway.block("latest").base_fee
        self.rpc("anvil_setNextBlockBaseFeePerGas", hex(base_fee * factor))
        self.rpc("evm_mine")
        self.dear_blocks = blocks
