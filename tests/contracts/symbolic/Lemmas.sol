// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {CHEATS, Straight} from "./Cheatcodes.sol";

/// @dev Products and quotients as they are, for any order of factors: across a call nothing is rewritten.
contract Arithmetic {
    function product(uint256 a, uint256 b) external pure returns (uint256) {
        unchecked {
            return a * b;
        }
    }

    function quotient(uint256 a, uint256 b) external pure returns (uint256 c) {
        assembly ("memory-safe") {
            c := div(a, b)
        }
    }
}

/// @title What solvers are told of arithmetic.
/// @dev They take products and quotients of unknown numbers for unknown functions, and would have to multiply bit by bit to
/// see more. Every assumption here is true of all numbers; `shares.smt2` proves those that are not evident.
abstract contract Lemmas {
    using Straight for bool;
    using Straight for uint256;

    Arithmetic private immutable ARITHMETIC = new Arithmetic();

    /// @dev The smaller one, and that a product with 0 or 1, by which OpenZeppelin chooses it, is nothing or everything.
    function _knowMin(uint256 a, uint256 b) internal view returns (uint256 smaller) {
        uint256 chosen = (a ^ b).where(a < b);
        uint256 choice = uint256(1).where(a < b);
        CHEATS.assume((ARITHMETIC.product(a ^ b, choice) == chosen).and(ARITHMETIC.product(choice, a ^ b) == chosen));
        return b ^ chosen;
    }

    /// @dev Factors below 2^128 have a product that fits, from which each comes back by division; in any order.
    function _knowProduct(uint256 a, uint256 b) internal view returns (uint256 whole) {
        whole = ARITHMETIC.product(a, b);
        bool fit = (a < 1 << 128).and(b < 1 << 128);
        CHEATS.assume(ARITHMETIC.product(b, a) == whole);
        CHEATS.assume(fit.implies((a == 0).or(ARITHMETIC.quotient(whole, a) == b)));
        CHEATS.assume(fit.implies((b == 0).or(ARITHMETIC.quotient(whole, b) == a)));
    }

    /// @dev Of a whole, a share of parts that are no more than all: no more than the whole.
    function _knowShare(uint256 wholeWei, uint256 part, uint256 parts) internal view returns (uint256 shareWei) {
        shareWei = ARITHMETIC.quotient(_knowProduct(wholeWei, part), parts);
        bool fit = (wholeWei < 1 << 128).and(part < 1 << 128);
        CHEATS.assume(fit.and(part <= parts).implies(shareWei <= wholeWei));
    }
}
