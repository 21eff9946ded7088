// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Float32} from "./Float32.sol";
import {FunctionNumber} from "./FunctionNumber.sol";

/// @title Values of real functions that need no series: exact ones, saturated ones, and those that do not exist.
library SettledFunctions {
    using Float32 for uint256;

    /// @dev What is not settled.
    uint256 internal constant OPEN = type(uint256).max - 1;

    uint256 private constant NONE = Float32.NONE;
    uint256 private constant INFINITY = Float32.INFINITY;
    uint256 private constant SIGN = Float32.SIGN;
    uint256 private constant ONE = Float32.ONE;

    // Floats by their bits.
    uint256 private constant FOUR = 0x40800000;
    uint256 private constant SIXTEEN = 0x41800000;
    uint256 private constant THIRTY_TWO = 0x42000000;
    uint256 private constant HUNDRED_TWENTY_EIGHT = 0x43000000;
    uint256 private constant TWO_TO_MINUS_60 = 0x21800000;
    uint256 private constant TWO_TO_MINUS_13 = 0x39000000;
    uint256 private constant TWO_TO_MINUS_12 = 0x39800000;

    /// @dev The bits of f(x), `NONE` where x has no value, or `OPEN`. Every bound is checked against the half-way point
    /// that it stays clear of. The alpha counts for ELU alone, and is finite.
    function valueOf(uint256 number, uint256 bits, uint256 alpha) internal pure returns (uint256) {
        uint256 magnitude = bits & Float32.MAGNITUDE;
        bool negative = bits.isNegative();
        if (number == FunctionNumber.EXP) {
            if (bits == 0) return ONE;
            // e^128 > 2^184, e^-128 < 2^-184.
            return magnitude < HUNDRED_TWENTY_EIGHT ? OPEN : negative ? 0 : INFINITY;
        }
        if (number == FunctionNumber.LOG) {
            if (negative) return NONE;
            if (bits == 0) return INFINITY | SIGN;
            return bits == INFINITY ? INFINITY : bits == ONE ? 0 : OPEN;
        }
        if (number == FunctionNumber.TANH) {
            // x (1 - x^2/3) is nearer to x than a quarter of its last place, 2^-25 x, as x^2/3 < 2^-27.
            if (magnitude < TWO_TO_MINUS_13) return bits;
            // 1 - tanh(16) < 2 e^-32 < 2^-45.
            return magnitude < SIXTEEN ? OPEN : ONE | bits & SIGN;
        }
        if (number == FunctionNumber.ERF) {
            if (bits == 0) return 0;
            // 1 - erf(4) < 2^-25.9, and half a place below 1 is 2^-25.
            return magnitude < FOUR ? OPEN : ONE | bits & SIGN;
        }
        if (number == FunctionNumber.SIGMOID || number == FunctionNumber.SOFTPLUS) {
            bool sigmoid = number == FunctionNumber.SIGMOID;
            if (sigmoid && bits == 0) return Float32.HALF;
            if (negative) return magnitude < HUNDRED_TWENTY_EIGHT ? OPEN : 0;
            // 1 - sigmoid(32) < e^-32 < 2^-46; softplus exceeds x by as little, and half a place is 2^-19 at least.
            return bits < THIRTY_TWO ? OPEN : sigmoid ? ONE : bits;
        }
        if (number == FunctionNumber.ELU) return _settledElu(bits, alpha);
        if (bits.isInfinite()) return NONE;
        // As for tanh, as x^2/6 < 2^-26; and 1 - x^2/2 > 1 - 2^-27, half a place below 1 being 2^-25.
        if (number == FunctionNumber.SIN) return magnitude < TWO_TO_MINUS_12 ? bits : OPEN;
        return magnitude < TWO_TO_MINUS_13 ? ONE : OPEN;
    }

    function _settledElu(uint256 bits, uint256 alpha) private pure returns (uint256) {
        if (!bits.isNegative()) return bits;
        if (alpha == 0) return 0;
        uint256 magnitude = bits & Float32.MAGNITUDE;
        // alpha (1 - e^-32): nearer to alpha than a quarter of its last place.
        if (magnitude >= THIRTY_TWO) return alpha ^ SIGN;
        if (magnitude >= TWO_TO_MINUS_60) return OPEN;
        // alpha x (1 - d), 0 < d < 2^-60: alpha x may be half-way, but as it has at most 48 bits nothing that rounding
        // looks at lies between it and anything closer to 0 by less than 2^-48 of it.
        (int256 a, int256 p) = alpha.decode();
        (int256 x, int256 e) = bits.decode();
        int256 product = (a * x) << 64;
        return Float32.round(product - (product > 0 ? int256(1) : -1), p + e - 64);
    }
}
