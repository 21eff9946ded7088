// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {SignedMath} from "@openzeppelin/contracts/utils/math/SignedMath.sol";

import {ElementType} from "./ElementType.sol";
import {Float32} from "./Float32.sol";
import {FloatArithmetic} from "./FloatArithmetic.sol";

/// @title Floats to integers and back.
library Quantisation {
    using Float32 for uint256;

    uint256 private constant NONE = Float32.NONE;

    /// @dev saturate(RNE(value / scale) + zero): the quotient is exact, and rounded once, to an integer.
    function quantize(uint256 value, uint256 scale, int256 zero, uint256 dtype) internal pure returns (uint256) {
        (value, scale) = (value.canonical(), scale.canonical());
        if (value == NONE || scale == NONE) return NONE;
        if (value.isInfinite() || scale.isInfinite() || scale == 0) {
            return saturateFloat(FloatArithmetic.divide(value, scale), zero, dtype);
        }
        (int256 a, int256 p) = value.decode();
        (int256 b, int256 q) = scale.decode();
        return _saturated((a < 0) != (b < 0), SignedMath.abs(a), SignedMath.abs(b), p - q, zero, dtype);
    }

    /// @dev RN(difference * scale).
    function dequantize(int256 difference, uint256 scale) internal pure returns (uint256) {
        scale = scale.canonical();
        if (scale == NONE) return NONE;
        if (scale.isInfinite()) {
            if (difference == 0) return NONE;
            return difference > 0 ? scale : scale ^ Float32.SIGN;
        }
        (int256 significand, int256 exponent) = scale.decode();
        return Float32.round(difference * significand, exponent);
    }

    /// @dev saturate(RNE(float) + zero); what has no value keeps none.
    function saturateFloat(uint256 bits, int256 zero, uint256 dtype) internal pure returns (uint256) {
        if (bits == NONE) return NONE;
        if (bits.isInfinite()) {
            (int256 least, int256 greatest) = ElementType.bounds(dtype);
            return ElementType.wrap(bits.isNegative() ? least : greatest, dtype);
        }
        (int256 significand, int256 exponent) = bits.decode();
        return _saturated(significand < 0, SignedMath.abs(significand), 1, exponent, zero, dtype);
    }

    /// @dev The float truncated towards zero; what is out of the type's range has no value.
    function truncate(uint256 bits, uint256 dtype) internal pure returns (uint256) {
        if (bits & Float32.INFINITY == Float32.INFINITY) return NONE;
        (int256 significand, int256 exponent) = bits.decode();
        uint256 magnitude = SignedMath.abs(significand);
        magnitude = exponent >= 0 ? magnitude << uint256(exponent) : magnitude >> uint256(-exponent);
        int256 value = significand < 0 ? -int256(magnitude) : int256(magnitude);
        (int256 least, int256 greatest) = ElementType.bounds(dtype);
        return value < least || value > greatest ? NONE : ElementType.wrap(value, dtype);
    }

    /// @dev Whether a float is a value of an integer type, and which; an infinity is the least or the greatest.
    function integralBound(uint256 bits, uint256 dtype) internal pure returns (bool isValue, int256 value) {
        (int256 least, int256 greatest) = ElementType.bounds(dtype);
        if (bits.isInfinite()) return (true, bits.isNegative() ? least : greatest);
        uint256 truncated = truncate(bits, dtype);
        if (truncated == NONE) return (false, 0);
        // A float that truncates to itself is an integer.
        value = ElementType.decode(truncated, dtype);
        return (Float32.round(value, 0) == bits, value);
    }

    /// @dev saturate(RNE(+-numerator / denominator * 2^exponent) + zero), both below 2^32 and not 0 / 0.
    function _saturated(
        bool negative,
        uint256 numerator,
        uint256 denominator,
        int256 exponent,
        int256 zero,
        uint256 dtype
    ) private pure returns (uint256) {
        // From 2^64 / 2^24 on every quotient but 0 saturates; below 2^24 / 2^64 every one is nearest to 0.
        if (exponent > 64) exponent = 64;
        if (exponent < -64) exponent = -64;
        if (exponent >= 0) numerator <<= uint256(exponent);
        else denominator <<= uint256(-exponent);
        uint256 quotient = numerator / denominator;
        uint256 rest = 2 * (numerator % denominator);
        if (rest > denominator || (rest == denominator && quotient & 1 == 1)) ++quotient;
        return ElementType.saturate((negative ? -int256(quotient) : int256(quotient)) + zero, dtype);
    }
}
