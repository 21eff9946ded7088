// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SignedMath} from "@openzeppelin/contracts/utils/math/SignedMath.sol";

import {ElementType} from "./ElementType.sol";

/// @title binary32 as integers: bits to exact numbers, and exact numbers rounded back to bits.
/// @dev A finite float is significand * 2^exponent with a signed integer significand. Rounding is to nearest, ties to
/// even; what overflows is an infinity, and -0 is never given: it is +0.
library Float32 {
    uint256 internal constant ZERO = 0;
    uint256 internal constant HALF = 0x3f000000;
    uint256 internal constant ONE = 0x3f800000;
    uint256 internal constant INFINITY = 0x7f800000;
    uint256 internal constant SIGN = 0x80000000;
    uint256 internal constant MAGNITUDE = 0x7fffffff;
    /// @dev What stands for the bits of an element that has no value: no element has so many bits.
    uint256 internal constant NONE = type(uint256).max;

    // Exponent of the last bit of a subnormal: no finite float has a bit below it.
    int256 internal constant LEAST_EXPONENT = -149;
    int256 internal constant SIGNIFICAND_BITS = 24;

    function isNaN(uint256 bits) internal pure returns (bool) {
        return bits & MAGNITUDE > INFINITY;
    }

    function isInfinite(uint256 bits) internal pure returns (bool) {
        return bits & MAGNITUDE == INFINITY;
    }

    /// @dev Whether a float is below zero; -0 is not.
    function isNegative(uint256 bits) internal pure returns (bool) {
        return bits > SIGN;
    }

    /// @dev The same float with -0 as +0; NaN is no value.
    function canonical(uint256 bits) internal pure returns (uint256) {
        if (isNaN(bits)) return NONE;
        return bits == SIGN ? ZERO : bits;
    }

    /// @dev An element as a step writes it: -0 as +0, booleans as 0 and 1; NaN is no value.
    function canonical(uint256 bits, uint256 dtype) internal pure returns (uint256) {
        if (dtype == ElementType.FLOAT32) return canonical(bits);
        if (dtype == ElementType.BOOL) return bits == 0 ? 0 : 1;
        if (dtype != ElementType.FLOAT64) return bits;
        uint256 magnitude = bits & 0x7fffffffffffffff;
        if (magnitude > 0x7ff0000000000000) return NONE;
        return magnitude == 0 ? 0 : bits;
    }

    /// @dev Significand and exponent of a finite float.
    function decode(uint256 bits) internal pure returns (int256 significand, int256 exponent) {
        unchecked {
            uint256 field = bits >> 23 & 0xff;
            uint256 fraction = bits & 0x7fffff;
            if (field != 0) {
                fraction |= 0x800000;
                --field;
            }
            significand = bits & SIGN == 0 ? int256(fraction) : -int256(fraction);
            exponent = int256(field) + LEAST_EXPONENT;
        }
    }

    /// @dev An integer that orders floats as their values; not for NaN.
    function orderKey(uint256 bits) internal pure returns (int256) {
        unchecked {
            return bits & SIGN == 0 ? int256(bits) : -int256(bits & MAGNITUDE);
        }
    }

    /// @dev RN(significand * 2^exponent).
    function round(int256 significand, int256 exponent) internal pure returns (uint256) {
        return round(significand < 0, SignedMath.abs(significand), exponent, false);
    }

    /// @dev RN(+-(magnitude + rest) * 2^exponent) with 0 < rest < 1 where `more`, else rest = 0.
    /// Where there is a rest, the magnitude has more than 25 bits or the exponent is below -150.
    function round(bool negative, uint256 magnitude, int256 exponent, bool more) internal pure returns (uint256 bits) {
        unchecked {
            if (magnitude == 0) return ZERO;
            // The last place that the result can hold: 24 below the leading bit, but none below the subnormals'.
            int256 last = int256(Math.log2(magnitude)) + 1 + exponent - SIGNIFICAND_BITS;
            if (last < LEAST_EXPONENT) last = LEAST_EXPONENT;
            int256 shift = last - exponent;
            if (shift <= 0) {
                bits = magnitude << uint256(-shift);
            } else if (shift <= 256) {
                bits = magnitude >> uint256(shift);
                uint256 half = 1 << uint256(shift - 1);
                // SAFETY: at a shift of 256 the mask wraps to all ones, as it should.
                uint256 rest = magnitude & ((half << 1) - 1);
                if (rest > half || (rest == half && (more || bits & 1 == 1))) ++bits;
            }
            if (bits == 0) return ZERO;
            // A normal significand carries its leading bit, 2^23, into the exponent field; so does a carry to 2^24.
            bits += uint256(last - LEAST_EXPONENT) << 23;
            if (bits > INFINITY) bits = INFINITY;
            if (negative) bits |= SIGN;
        }
    }

    /// @dev RN(+-numerator / denominator * 2^exponent) for a numerator below 2^192 and a denominator from 1 to 2^32.
    function roundQuotient(bool negative, uint256 numerator, uint256 denominator, int256 exponent)
        internal
        pure
        returns (uint256)
    {
        unchecked {
            // At least 32 bits of quotient: rounding looks at 25.
            uint256 scaled = numerator << 64;
            return round(negative, scaled / denominator, exponent - 64, scaled % denominator != 0);
        }
    }

    /// @dev A pair that rounds like the exact sum of two, for significands below 2^64 in magnitude.
    function sum(int256 a, int256 p, int256 b, int256 q) internal pure returns (int256, int256) {
        unchecked {
            if (a == 0) return (b, q);
            if (b == 0) return (a, p);
            if (p < q) (a, p, b, q) = (b, q, a, p);
            // The lesser one is below 2^-36 units of the greater, whose half-way points are no finer than 2^-25
            // units: only its sign counts.
            if (p - q > 100) return ((a << 64) + (b > 0 ? int256(1) : -1), p - 64);
            return ((a << uint256(p - q)) + b, q);
        }
    }
}
