// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @title Calls into contracts that may be hostile.
library BoundedCall {
    // What the oracle still needs after a callback: one event and the end of the transaction.
    uint256 internal constant RESERVE_GAS = 20_000;

    /// @notice Gas that must be left so that a callee gets exactly `gasLimit`: the EVM keeps 1/64 of what is left (EIP-150).
    function gasRequired(uint256 gasLimit) internal pure returns (uint256) {
        return (gasLimit * 64) / 63 + RESERVE_GAS;
    }

    /// @notice Calls with exactly `gasLimit` gas and copies nothing of what is returned.
    /// @dev SAFETY: a callee can neither make the caller run out of gas (the limit), nor by a return bomb (no copy), nor
    /// by reverting (only reported). The caller checks `gasRequired` first.
    function tryCall(address target, uint256 gasLimit, bytes memory data) internal returns (bool succeeded) {
        assembly ("memory-safe") {
            succeeded := call(gasLimit, target, 0, add(data, 32), mload(data), 0, 0)
        }
    }

    /// @notice Sends ether with all remaining gas and copies nothing of what is returned.
    function trySend(address to, uint256 amountWei) internal returns (bool succeeded) {
        assembly ("memory-safe") {
            succeeded := call(gas(), to, amountWei, 0, 0, 0, 0)
        }
    }
}
