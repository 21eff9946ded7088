"""One-off transactions on a chain that misbehaves."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from eth_utils.crypto import keccak

from sworn.chain.gateway import Call, Receipt
from sworn.chain.pacing import Pacing
from sworn.chain.signer import LocalSigner
from sworn.chain.transaction_terms import MAX_TRANSACTION_GAS, gas_limit
from sworn.chain.transactor import Transactor
from sworn.errors import (
    ContractRevert,
    NonceTooLow,
    TransactionKnown,
    TransactionReverted,
    TransientChainError,
)
from sworn.testing.gateway import MemoryGateway
from sworn.types import Address

SIGNER = LocalSigner.from_key(b"\x01" * 32)
TARGET = Address("0x1212121212121212121212121212121212121212")


class _Node(MemoryGateway):
    """A memory chain whose broadcasts fail as a test scripts them."""

    faults: list[tuple[Exception, bool]]
    broadcasts: list[bytes]

    def send_raw(self, raw: bytes) -> bytes:
        """Takes the transaction, or raises the next fault; a fault may be told to take it all the same."""
        self.broadcasts.append(raw)
        if self.faults:
            fault, takes = self.faults.pop(0)
            if takes:
                super().send_raw(raw)
            raise fault
        return super().send_raw(raw)


def _node(*faults: tuple[Exception, bool], **options: object) -> _Node:
    node = _Node(**options)  # type: ignore[arg-type]
    node.faults = list(faults)
    node.broadcasts = []
    return node


def _transactor(node: _Node, *, sleep: Callable[[float], None] | None = None, timeout_s: float = 5) -> Transactor:
    now = [0.0]

    def tick(seconds: float) -> None:
        now[0] += seconds
        if sleep is None:
            node.mine()
        else:
            sleep(seconds)

    pacing = Pacing(poll_s=1, transaction_timeout_s=timeout_s, clock=lambda: now[0])
    return Transactor(gateway=node, signer=SIGNER, chain_id=node.chain_id(), pacing=pacing, sleep=tick)


def _send(node: _Node, **options: object) -> Receipt:
    return _transactor(node, **options).send(to=TARGET, data=b"\x01")  # type: ignore[arg-type]


def test_send_mined_transaction_returns_its_receipt() -> None:
    """The plain case: one broadcast, one receipt."""
    node = _node()
    receipt = _send(node)
    assert receipt.succeeded and receipt.transaction_hash == keccak(node.broadcasts[0]) and len(node.broadcasts) == 1


def test_send_lost_answer_broadcasts_the_same_bytes_again() -> None:
    """When nobody knows whether the node has it, the same transaction is sent again, never a second one."""
    node = _node((TransientChainError("lost"), False), (TransientChainError("lost"), True))
    assert _send(node).succeeded
    assert len(node.broadcasts) == 3 and len(set(node.broadcasts)) == 1


def test_send_known_transaction_counts_as_sent() -> None:
    """A node that has it already is no error."""
    assert _send(_node((TransactionKnown("known"), True))).succeeded


def test_send_nonce_taken_by_another_signs_again() -> None:
    """A refused nonce leaves nothing behind, so the call goes out under the next one."""
    node = _node((NonceTooLow("low"), False))
    assert _send(node).succeeded and len(node.broadcasts) == 2


def test_send_nonce_refused_for_ever_raises() -> None:
    """It does not try without end."""
    with pytest.raises(NonceTooLow):
        _send(_node(*[(NonceTooLow("low"), False)] * 9))


def test_send_never_mined_raises_transient_with_the_hash() -> None:
    """A transaction that stays in the pool ends the waiting, and is named."""
    node = _node()
    with pytest.raises(TransientChainError) as caught:
        _send(node, sleep=lambda seconds: None)
    assert keccak(node.broadcasts[0]).hex() in str(caught.value)


def test_send_call_that_would_revert_costs_nothing() -> None:
    """The simulation refuses it before anything is signed."""

    def refuse(call: Call) -> bytes:
        raise ContractRevert("no")

    node = _node(on_call=refuse)
    with pytest.raises(ContractRevert):
        _send(node)
    assert node.broadcasts == []


def test_send_mined_but_reverted_raises_transaction_reverted() -> None:
    """Between simulation and block the world may change."""

    def refuse(*arguments: object) -> list[object]:
        raise ContractRevert("no")

    with pytest.raises(TransactionReverted):
        _send(_node(on_transaction=refuse))


@pytest.mark.parametrize(
    ("estimate", "limit"),
    [
        (100_000, 120_000),
        (MAX_TRANSACTION_GAS - 1, MAX_TRANSACTION_GAS),
        (MAX_TRANSACTION_GAS + 1, MAX_TRANSACTION_GAS + 1),
    ],
)
def test_gas_limit_adds_a_fifth_up_to_the_cap(estimate: int, limit: int) -> None:
    """There is room for change, but never more than a transaction may have."""
    assert gas_limit(estimate) == limit
