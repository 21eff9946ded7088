// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Float32} from "./Float32.sol";

/// @title Exact sums of products of floats.
/// @dev With exponent fields p, q (0 for subnormals as for the least normals) a product is x * y * 2^(p + q) units of
/// 2^-298, where x, y < 2^24 and p + q < 508. It is added to one of four bins, that of (p + q) / 128, shifted by the
/// rest. A bin of at most 8,192 products stays below 2^(48 + 127 + 13) = 2^188. Negative products have bins of their
/// own: bins 0 to 3 hold the positive sums, bins 4 to 7 the negative ones. The value of four bins is the sum of
/// bin[k] * 2^(128 k).
library ProductSum {
    /// @dev Exponent of a unit.
    int256 internal constant UNIT = 2 * Float32.LEAST_EXPONENT;
    /// @dev Eight ones, as floats.
    uint256 internal constant ONES = 0x3f8000003f8000003f8000003f8000003f8000003f8000003f8000003f800000;

    uint256 private constant BINS = 8;
    uint256 private constant LIMB = (1 << 128) - 1;

    /// @dev Eight empty bins; where in memory they stand. To be called before anything else is allocated: `add` takes 16
    /// bits of the address.
    function create() internal pure returns (uint256 bins) {
        uint256[BINS] memory list;
        assembly ("memory-safe") {
            bins := list
        }
    }

    /// @dev Adds the products of eight floats on the left with eight on the right, each of them finite.
    /// Where one is not, `spoilt` is not 0 and the bins hold nonsense.
    function add(uint256 bins, uint256 left, uint256 right) internal pure returns (uint256 spoilt) {
        assembly ("memory-safe") {
            // In lanes of 32 bits: the sign, as an offset of four bins.
            let place :=
                and(shr(24, xor(left, right)), 0x0000008000000080000000800000008000000080000000800000008000000080)
            // The exponent field, and whether it is not 0: then there is a leading one, and the field counts one less.
            let field := and(shr(23, left), 0x000000ff000000ff000000ff000000ff000000ff000000ff000000ff000000ff)
            let normal :=
                and(
                    shr(8, add(field, 0x000000ff000000ff000000ff000000ff000000ff000000ff000000ff000000ff)),
                    0x0000000100000001000000010000000100000001000000010000000100000001
                )
            // A field of 255 is the only one that carries when it is raised.
            spoilt := add(field, 0x0000000100000001000000010000000100000001000000010000000100000001)
            left := or(and(left, 0x007fffff007fffff007fffff007fffff007fffff007fffff007fffff007fffff), shl(23, normal))
            let shift := sub(field, normal)
            field := and(shr(23, right), 0x000000ff000000ff000000ff000000ff000000ff000000ff000000ff000000ff)
            normal := and(
                shr(8, add(field, 0x000000ff000000ff000000ff000000ff000000ff000000ff000000ff000000ff)),
                0x0000000100000001000000010000000100000001000000010000000100000001
            )
            spoilt := or(spoilt, add(field, 0x0000000100000001000000010000000100000001000000010000000100000001))
            spoilt := and(spoilt, 0x0000010000000100000001000000010000000100000001000000010000000100)
            right := or(and(right, 0x007fffff007fffff007fffff007fffff007fffff007fffff007fffff007fffff), shl(23, normal))
            shift := add(shift, sub(field, normal))
            // The bin: 32 bytes for every 128 of the exponent, behind the first one's address in every lane.
            place := or(place, and(shr(2, shift), 0x0000006000000060000000600000006000000060000000600000006000000060))
            place := add(place, mul(bins, 0x0000000100000001000000010000000100000001000000010000000100000001))
            // SAFETY: a place is `bins` plus at most 7 * 32.
            let target := and(place, 0xffff)
            let product := mul(and(left, 0xffffff), and(right, 0xffffff))
            mstore(target, add(mload(target), shl(and(shift, 0x7f), product)))
            target := and(shr(32, place), 0xffff)
            product := mul(and(shr(32, left), 0xffffff), and(shr(32, right), 0xffffff))
            mstore(target, add(mload(target), shl(and(shr(32, shift), 0x7f), product)))
            target := and(shr(64, place), 0xffff)
            product := mul(and(shr(64, left), 0xffffff), and(shr(64, right), 0xffffff))
            mstore(target, add(mload(target), shl(and(shr(64, shift), 0x7f), product)))
            target := and(shr(96, place), 0xffff)
            product := mul(and(shr(96, left), 0xffffff), and(shr(96, right), 0xffffff))
            mstore(target, add(mload(target), shl(and(shr(96, shift), 0x7f), product)))
            target := and(shr(128, place), 0xffff)
            product := mul(and(shr(128, left), 0xffffff), and(shr(128, right), 0xffffff))
            mstore(target, add(mload(target), shl(and(shr(128, shift), 0x7f), product)))
            target := and(shr(160, place), 0xffff)
            product := mul(and(shr(160, left), 0xffffff), and(shr(160, right), 0xffffff))
            mstore(target, add(mload(target), shl(and(shr(160, shift), 0x7f), product)))
            target := and(shr(192, place), 0xffff)
            product := mul(and(shr(192, left), 0xffffff), and(shr(192, right), 0xffffff))
            mstore(target, add(mload(target), shl(and(shr(192, shift), 0x7f), product)))
            target := and(shr(224, place), 0xffff)
            product := mul(and(shr(224, left), 0xffffff), and(shr(224, right), 0xffffff))
            mstore(target, add(mload(target), shl(and(shr(224, shift), 0x7f), product)))
        }
    }

    /// @dev What bin k of the positive sums, or of the negative ones, holds.
    function bin(uint256 bins, uint256 k, bool negative) internal pure returns (int256 value) {
        uint256 pointer = bins + 32 * k + (negative ? 128 : 0);
        assembly ("memory-safe") {
            value := mload(pointer)
        }
    }

    /// @dev RN(sum / divisor), for a divisor from 1 below 2^32.
    function roundQuotient(uint256 bins, uint256 divisor) internal pure returns (uint256) {
        unchecked {
            int256[4] memory limbs;
            for (uint256 k; k < 4; ++k) {
                limbs[k] = bin(bins, k, false) - bin(bins, k, true);
            }
            bool negative = normalise(limbs) < 0;
            if (negative) {
                for (uint256 k; k < 4; ++k) {
                    limbs[k] = bin(bins, k, true) - bin(bins, k, false);
                }
                normalise(limbs);
            }
            // Long division, from the top.
            uint256 rest;
            for (uint256 k = 4; k != 0; --k) {
                uint256 part = rest << 128 | uint256(limbs[k - 1]);
                if (k == 4) part = uint256(limbs[3]);
                limbs[k - 1] = int256(part / divisor);
                rest = part % divisor;
            }
            // From 2^64 * 2^384 units on, 2^150, everything is an infinity.
            uint256 top = uint256(limbs[3]) < 1 << 64 ? uint256(limbs[3]) : 1 << 64;
            return
                _round(
                    negative, top << 128 | uint256(limbs[2]), uint256(limbs[1]) << 128 | uint256(limbs[0]), rest != 0
                );
        }
    }

    /// @dev Carries what limbs hold beyond 128 bits upwards: all but the last are then from 0 below 2^128. The last one.
    function normalise(int256[4] memory limbs) internal pure returns (int256 top) {
        unchecked {
            for (uint256 k; k < 3; ++k) {
                limbs[k + 1] += limbs[k] >> 128;
                limbs[k] &= int256(LIMB);
            }
            return limbs[3];
        }
    }

    /// @dev RN(+-(high * 2^256 + low + rest) units) with 0 < rest < 1 where `more`.
    function _round(bool negative, uint256 high, uint256 low, bool more) private pure returns (uint256) {
        unchecked {
            if (high == 0) return Float32.round(negative, low, UNIT, more);
            uint256 length;
            while (high >> length != 0) length += 8;
            // SAFETY: high < 2^193, so 0 < length < 256.
            uint256 magnitude = high << (256 - length) | low >> length;
            return Float32.round(negative, magnitude, UNIT + int256(length), more || low << (256 - length) != 0);
        }
    }
}
