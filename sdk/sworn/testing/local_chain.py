"""A chain of one's own: in this process (eth-tester) or as an anvil beside it, both with funded, well-known keys.

::

    with start_chain() as chain:
        chain.gateway.balance(chain.signers[0].address)
        chain.advance(3600)
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Protocol

from sworn.chain.gateway import AsyncGateway, Gateway
from sworn.errors import ConfigurationError

if TYPE_CHECKING:
    from sworn.chain.signer import LocalSigner

#: Warning: everybody knows these keys. Twelve words that every Ethereum tool uses for its test accounts.
MNEMONIC: Final = "test test test test test test test test test test test junk"
ACCOUNTS: Final = 10
_KEY_PATH: Final = "m/44'/60'/0'/0"


class ChainKind(Enum):
    """Where a local chain runs."""

    #: In this process, on py-evm; starts in a fraction of a second and needs nothing but Python.
    EMBEDDED = "eth-tester"
    #: A process of its own that speaks JSON-RPC over http, as a real node does.
    ANVIL = "anvil"


class LocalChain(Protocol):
    """A chain that mines a block per transaction and moves in time when told to."""

    @property
    def kind(self) -> ChainKind: ...
    @property
    def gateway(self) -> Gateway: ...
    @property
    def signers(self) -> tuple[LocalSigner, ...]:
        """Ten keys with ether; the same on every local chain."""
        ...

    @property
    def url(self) -> str | None:
        """JSON-RPC endpoint; None for a chain inside this process."""
        ...

    def async_gateway(self) -> AsyncGateway:
        """A gateway for coroutines, for the event loop that runs now."""
        ...

    def mine(self, blocks: int = 1) -> None:
        """Mines empty blocks."""
        ...

    def advance(self, seconds: int) -> None:
        """Mines a block that lies this many seconds after the newest one."""
        ...

    def snapshot(self) -> Any:
        """A mark to which `revert` goes back."""
        ...

    def revert(self, mark: Any) -> None:
        """Undoes everything since a mark, once."""
        ...

    def close(self) -> None:
        """Ends the chain; idempotent."""
        ...


def well_known_signers(count: int = ACCOUNTS) -> tuple[LocalSigner, ...]:
    """The first keys of `MNEMONIC`."""
    from eth_account.hdaccount import key_from_seed, seed_from_mnemonic

    from sworn.chain.signer import LocalSigner

    seed = seed_from_mnemonic(MNEMONIC, "")
    return tuple(LocalSigner.from_key(key_from_seed(seed, f"{_KEY_PATH}/{index}")) for index in range(count))


@contextmanager
def start_chain(kind: ChainKind = ChainKind.EMBEDDED) -> Iterator[LocalChain]:
    """A local chain for the length of a ``with`` block.

    Raises `ConfigurationError` when what it needs is not installed.
    """
    chain = open_chain(kind)
    try:
        yield chain
    finally:
        chain.close()


def open_chain(kind: ChainKind = ChainKind.EMBEDDED) -> LocalChain:
    """A local chain that the caller closes. Raises `ConfigurationError` when what it needs is not installed."""
    if kind is ChainKind.ANVIL:
        from sworn.testing.anvil import AnvilChain

        return AnvilChain()
    return EmbeddedChain()


class EmbeddedChain:
    """A `LocalChain` in this process. Raises `ConfigurationError` when eth-tester is not installed."""

    kind: Final = ChainKind.EMBEDDED
    url: Final = None

    def __init__(self) -> None:
        try:
            from eth_tester import EthereumTester, PyEVMBackend

            from sworn.chain.web3_gateway_tester import async_gateway_over_tester, gateway_over_tester
        except ImportError as error:
            hint = "the embedded chain is not installed: pip install 'sworn-oracle[tester]'"
            raise ConfigurationError(hint) from error
        backend = PyEVMBackend.from_mnemonic(MNEMONIC, num_accounts=ACCOUNTS, hd_path=_KEY_PATH)
        self._lock = threading.RLock()
        self._tester = EthereumTester(backend)
        self._open_async = async_gateway_over_tester
        self._gateway = gateway_over_tester(self._tester, lock=self._lock)
        self._signers = well_known_signers()

    @property
    def gateway(self) -> Gateway:
        return self._gateway

    @property
    def signers(self) -> tuple[LocalSigner, ...]:
        return self._signers

    def async_gateway(self) -> AsyncGateway:
        return self._open_async(self._tester, lock=self._lock)

    def mine(self, blocks: int = 1) -> None:
        with self._lock:
            self._tester.mine_blocks(blocks)

    def advance(self, seconds: int) -> None:
        with self._lock:
            # eth-tester mines the block one second before the time that it is told.
            target = self._tester.get_block_by_number("latest")["timestamp"] + seconds + 1
            # The next block's time follows the clock: it may be there already.
            if seconds <= 1 or target <= self._tester.get_block_by_number("pending")["timestamp"]:
                self._tester.mine_blocks(1)
            else:
                self._tester.time_travel(target)

    def snapshot(self) -> Any:
        with self._lock:
            return self._tester.take_snapshot()

    def revert(self, mark: Any) -> None:
        with self._lock:
            self._tester.revert_to_snapshot(mark)

    def close(self) -> None:
        """Nothing to end."""
