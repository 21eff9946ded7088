// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SignedMath} from "@openzeppelin/contracts/utils/math/SignedMath.sol";

import {Float32} from "./Float32.sol";

/// @title Float32 arithmetic on bits: one rounding each, infinities by the rules of IEEE 754, -0 never.
/// @dev Operands are any bits of 32; `Float32.NONE` is the answer where one is or the result would be NaN.
library FloatArithmetic {
    using Float32 for uint256;

    uint256 private constant NONE = Float32.NONE;
    uint256 private constant INFINITY = Float32.INFINITY;
    uint256 private constant SIGN = Float32.SIGN;

    function add(uint256 left, uint256 right) internal pure returns (uint256) {
        (left, right) = (left.canonical(), right.canonical());
        if (left == NONE || right == NONE) return NONE;
        if (left.isInfinite()) return right.isInfinite() && left != right ? NONE : left;
        if (right.isInfinite()) return right;
        (int256 a, int256 p) = left.decode();
        (int256 b, int256 q) = right.decode();
        (a, p) = Float32.sum(a, p, b, q);
        return Float32.round(a, p);
    }

    function subtract(uint256 left, uint256 right) internal pure returns (uint256) {
        return add(left, right ^ SIGN);
    }

    function multiply(uint256 left, uint256 right) internal pure returns (uint256) {
        (left, right) = (left.canonical(), right.canonical());
        if (left == NONE || right == NONE) return NONE;
        if (left.isInfinite() || right.isInfinite()) {
            return left == 0 || right == 0 ? NONE : INFINITY | (left ^ right) & SIGN;
        }
        (int256 a, int256 p) = left.decode();
        (int256 b, int256 q) = right.decode();
        return Float32.round(a * b, p + q);
    }

    /// @dev As every zero is +0, a quotient by zero has the sign of the dividend.
    function divide(uint256 left, uint256 right) internal pure returns (uint256) {
        (left, right) = (left.canonical(), right.canonical());
        if (left == NONE || right == NONE) return NONE;
        if (right.isInfinite()) return left.isInfinite() ? NONE : 0;
        if (left.isInfinite() || right == 0) return left == 0 ? NONE : INFINITY | (left ^ right) & SIGN;
        (int256 a, int256 p) = left.decode();
        (int256 b, int256 q) = right.decode();
        return Float32.roundQuotient((a < 0) != (b < 0), SignedMath.abs(a), SignedMath.abs(b), p - q);
    }

    /// @dev C's fmod: left - right * trunc(left / right), which is always a float.
    function remainder(uint256 left, uint256 right) internal pure returns (uint256) {
        (left, right) = (left.canonical(), right.canonical());
        if (left == NONE || right == NONE || left.isInfinite() || right == 0) return NONE;
        if (right.isInfinite()) return left;
        (int256 a, int256 p) = left.decode();
        (int256 b, int256 q) = right.decode();
        uint256 rest = SignedMath.abs(a);
        uint256 divisor = SignedMath.abs(b);
        if (p > q) {
            // p - q <= 253, so the power fits; below 2^24 * 2^24 no product wraps.
            rest = mulmod(rest, 1 << uint256(p - q), divisor);
            p = q;
        } else if (q - p < Float32.SIGNIFICAND_BITS) {
            rest %= divisor << uint256(q - p);
        }
        return Float32.round(a < 0, rest, p, false);
    }

    function magnitude(uint256 bits) internal pure returns (uint256) {
        bits = bits.canonical();
        return bits == NONE ? NONE : bits & Float32.MAGNITUDE;
    }

    function sign(uint256 bits) internal pure returns (uint256) {
        bits = bits.canonical();
        return bits == NONE || bits == 0 ? bits : bits & SIGN | Float32.ONE;
    }

    function floor(uint256 bits) internal pure returns (uint256) {
        return _toInteger(bits, true, false);
    }

    function ceiling(uint256 bits) internal pure returns (uint256) {
        return _toInteger(bits, false, true);
    }

    /// @dev To the nearest integer, ties to even.
    function nearest(uint256 bits) internal pure returns (uint256) {
        return _toInteger(bits, false, false);
    }

    function squareRoot(uint256 bits) internal pure returns (uint256) {
        bits = bits.canonical();
        if (bits == NONE || bits.isNegative()) return NONE;
        if (bits.isInfinite()) return bits;
        (int256 significand, int256 exponent) = bits.decode();
        // 64 places more give a root of at least 32 bits, and an even exponent its half.
        int256 places = exponent % 2 == 0 ? int256(64) : int256(65);
        uint256 square = uint256(significand) << uint256(places);
        uint256 root = Math.sqrt(square);
        return Float32.round(false, root, (exponent - places) / 2, root * root != square);
    }

    function reciprocal(uint256 bits) internal pure returns (uint256) {
        return divide(Float32.ONE, bits);
    }

    /// @dev max(0, min(1, alpha * a + beta)), for finite parameters.
    function hardSigmoid(uint256 bits, uint256 alpha, uint256 beta) internal pure returns (uint256) {
        bits = bits.canonical();
        if (bits == NONE) return NONE;
        if (bits.isInfinite()) {
            if (alpha == 0) return NONE;
            return bits.isNegative() != alpha.isNegative() ? 0 : Float32.ONE;
        }
        (int256 a, int256 p) = bits.decode();
        (int256 slope, int256 q) = alpha.decode();
        (int256 intercept, int256 r) = beta.decode();
        (a, p) = Float32.sum(a * slope, p + q, intercept, r);
        return a <= 0 ? 0 : Math.min(Float32.round(a, p), Float32.ONE);
    }

    function least(uint256 left, uint256 right) internal pure returns (uint256) {
        (left, right) = (left.canonical(), right.canonical());
        if (left == NONE || right == NONE) return NONE;
        return left.orderKey() <= right.orderKey() ? left : right;
    }

    function greatest(uint256 left, uint256 right) internal pure returns (uint256) {
        (left, right) = (left.canonical(), right.canonical());
        if (left == NONE || right == NONE) return NONE;
        return left.orderKey() >= right.orderKey() ? left : right;
    }

    /// @dev min(max(a, lower), upper): where the bounds cross, upper wins.
    function clamp(uint256 bits, uint256 lower, uint256 upper) internal pure returns (uint256) {
        return least(greatest(bits, lower), upper);
    }

    /// @dev The operand where it is >= 0, else RN(slope * a).
    function scaleBelowZero(uint256 bits, uint256 slope) internal pure returns (uint256) {
        bits = bits.canonical();
        return bits != NONE && bits.isNegative() ? multiply(slope, bits) : bits;
    }

    function _toInteger(uint256 bits, bool down, bool up) private pure returns (uint256) {
        bits = bits.canonical();
        if (bits == NONE || bits.isInfinite()) return bits;
        (int256 significand, int256 exponent) = bits.decode();
        if (exponent >= 0) return bits;
        // Every significand lies below 2^24: further places hold nothing but its sign, and no tie.
        uint256 places = uint256(exponent < -26 ? int256(26) : -exponent);
        int256 unit = int256(1 << places);
        int256 quotient = significand >> places;
        int256 rest = significand - quotient * unit;
        if (!down && (up ? rest > 0 : 2 * rest > unit || (2 * rest == unit && quotient & 1 == 1))) ++quotient;
        return Float32.round(quotient, 0);
    }
}
