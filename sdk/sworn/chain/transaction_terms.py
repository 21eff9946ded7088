"""What a one-off transaction offers: gas limit, fees, fields."""

from __future__ import annotations

from typing import Any, Final

from sworn.chain.gateway import Call, Fees

#: EIP-7825: no transaction may be given more gas.
MAX_TRANSACTION_GAS: Final = 16_777_216
#: How often a call is signed again because somebody else took its nonce.
MAX_NONCE_RETRIES: Final = 3


def gas_limit(estimate: int) -> int:
    """A fifth above the estimate: state may shift until inclusion, and unused gas costs nothing."""
    return max(estimate, min(estimate * 6 // 5, MAX_TRANSACTION_GAS))


def max_fee_per_gas(fees: Fees) -> int:
    """Wei per gas. Twice the base fee survives six full blocks (1.125 ** 6 > 2)."""
    return 2 * fees.base_fee + fees.tip


def transaction_fields(
    call: Call, *, chain_id: int, nonce: int, gas: int, max_fee_wei: int, tip_wei: int
) -> dict[str, Any]:
    """An EIP-1559 transaction as a `Signer` takes it."""
    fields: dict[str, Any] = {
        "type": 2,
        "chainId": chain_id,
        "nonce": nonce,
        "gas": gas,
        "maxFeePerGas": max_fee_wei,
        "maxPriorityFeePerGas": min(tip_wei, max_fee_wei),
        "value": call.value,
        "data": "0x" + call.data.hex(),
    }
    # A deploying transaction has no recipient at all.
    return fields if call.to is None else {**fields, "to": call.to}
