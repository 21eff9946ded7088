// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @title Element types, numbered as in ONNX, and integers as bits: two's complement, right-aligned.
library ElementType {
    uint256 internal constant FLOAT32 = 1;
    uint256 internal constant INT8 = 3;
    uint256 internal constant INT32 = 6;
    uint256 internal constant INT64 = 7;
    uint256 internal constant BOOL = 9;
    uint256 internal constant FLOAT64 = 11;

    // Bit t is set where type t belongs.
    uint256 private constant KNOWN = 0x3afe;
    uint256 private constant SIGNED = 1 << 3 | 1 << 5 | 1 << 6 | 1 << 7;
    uint256 private constant UNSIGNED = 1 << 2 | 1 << 4 | 1 << 12 | 1 << 13;
    uint256 private constant QUANTIZED = 1 << 2 | 1 << 3 | 1 << 4 | 1 << 5;

    // Bytes per element, one nibble per type.
    uint256 private constant BYTES = 0x84801084221140;

    function isKnown(uint256 dtype) internal pure returns (bool) {
        return KNOWN >> dtype & 1 == 1;
    }

    function isInteger(uint256 dtype) internal pure returns (bool) {
        return (SIGNED | UNSIGNED) >> dtype & 1 == 1;
    }

    /// @dev 8 and 16 bits: what floats are quantised to.
    function isQuantized(uint256 dtype) internal pure returns (bool) {
        return QUANTIZED >> dtype & 1 == 1;
    }

    function isByte(uint256 dtype) internal pure returns (bool) {
        return dtype == 2 || dtype == INT8;
    }

    /// @dev Bytes of an element of a known type.
    function size(uint256 dtype) internal pure returns (uint256) {
        return BYTES >> (4 * dtype) & 0xf;
    }

    /// @dev The value of an integer's bits; a boolean is 0 or 1. Not for floats.
    function decode(uint256 bits, uint256 dtype) internal pure returns (int256) {
        unchecked {
            if (dtype == BOOL) return bits == 0 ? int256(0) : int256(1);
            uint256 width = 8 * size(dtype);
            if (SIGNED >> dtype & 1 == 1 && bits >> (width - 1) != 0) return int256(bits) - int256(1 << width);
            return int256(bits);
        }
    }

    /// @dev The bits of a value modulo 2^width.
    function wrap(int256 value, uint256 dtype) internal pure returns (uint256) {
        unchecked {
            return uint256(value) & ((1 << (8 * size(dtype))) - 1);
        }
    }

    /// @dev The least and the greatest value of an integer type.
    function bounds(uint256 dtype) internal pure returns (int256 least, int256 greatest) {
        unchecked {
            uint256 width = 8 * size(dtype);
            if (SIGNED >> dtype & 1 == 1) return (-int256(1 << (width - 1)), int256(1 << (width - 1)) - 1);
            return (0, int256(1 << width) - 1);
        }
    }

    /// @dev The bits of the value of an integer type that is nearest.
    function saturate(int256 value, uint256 dtype) internal pure returns (uint256) {
        (int256 least, int256 greatest) = bounds(dtype);
        return wrap(value < least ? least : value > greatest ? greatest : value, dtype);
    }
}
