"""A mined transaction as names and values."""

from __future__ import annotations

from typing import Any

from sworn.chain.gateway import Receipt


def receipt_facts(receipt: Receipt) -> dict[str, Any]:
    """Hash, block, gas and cost."""
    return {
        "transaction_hash": receipt.transaction_hash,
        "block_number": receipt.block_number,
        "gas_used": receipt.gas_used,
        "cost_wei": receipt.gas_used * receipt.effective_gas_price,
    }
