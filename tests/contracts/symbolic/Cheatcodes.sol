// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @dev What of Foundry's cheatcodes a symbolic execution understands.
interface Cheats {
    function assume(bool condition) external view;
    function deal(address account, uint256 balanceWei) external;
    function fee(uint256 baseFeeWei) external;
    function prank(address sender) external;
    function roll(uint256 blockNumber) external;
    function warp(uint256 timestamp) external;
}

/// @dev What halmos adds to them.
interface SymbolicCheats {
    /// @dev Every slot of the account that nobody wrote holds anything.
    function enableSymbolicStorage(address account) external;
}

Cheats constant CHEATS = Cheats(0x7109709ECfa91a80626fF3989D68f67F5b1DD12D);
SymbolicCheats constant SYMBOLIC = SymbolicCheats(0xF3993A62377BCd56AE39D773740A5390411E8BC9);

/// @title Logic that does not branch: one path of execution, however many conditions.
library Straight {
    function and(bool a, bool b) internal pure returns (bool both) {
        assembly ("memory-safe") {
            both := and(a, b)
        }
    }

    function or(bool a, bool b) internal pure returns (bool either) {
        assembly ("memory-safe") {
            either := or(a, b)
        }
    }

    function implies(bool a, bool b) internal pure returns (bool holds) {
        assembly ("memory-safe") {
            holds := or(iszero(a), b)
        }
    }

    /// @dev The value where the condition holds, else 0.
    function where(uint256 value, bool condition) internal pure returns (uint256 kept) {
        assembly ("memory-safe") {
            kept := and(value, sub(0, condition))
        }
    }
}
