// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ElementType} from "../../../contracts/referee/ElementType.sol";
import {Float32} from "../../../contracts/referee/Float32.sol";
import {CHEATS, Straight} from "./Cheatcodes.sol";

/// @title Decoding and rounding of binary32, against their definitions.
/// @dev RN is stated by distances: of the two neighbours the one that is nearer, on the middle the even one.
contract FloatRounding {
    using Straight for bool;
    using Straight for uint256;

    uint256 private constant SIGN = 0x80000000;
    uint256 private constant INFINITY = 0x7f800000;
    int256 private constant LEAST_EXPONENT = -149;
    // Far beyond every exponent that a caller has.
    int256 private constant FAR = 1 << 20;

    /// @dev Every finite float is what its fields say (IEEE 754, 3.4).
    function check_decode(uint32 bits) public view {
        uint256 field = (uint256(bits) >> 23) & 0xff;
        uint256 fraction = bits & 0x7fffff;
        CHEATS.assume(field != 255);
        (int256 significand, int256 exponent) = Float32.decode(bits);
        int256 magnitude = int256(field == 0 ? fraction : fraction + 0x800000);
        assert(significand == (bits >= SIGN ? -magnitude : magnitude));
        assert(exponent == (field == 0 ? int256(1) : int256(field)) - 127 - 23);
    }

    /// @dev Every finite float comes back, -0 as +0.
    function check_decodedComesBack(uint32 bits) public view {
        CHEATS.assume(bits & INFINITY != INFINITY);
        (int256 significand, int256 exponent) = Float32.decode(bits);
        assert(Float32.round(significand, exponent) == (bits == SIGN ? 0 : bits));
    }

    /// @dev Only NaN has no value, and only -0 another one.
    function check_canonical(uint64 bits, uint8 dtype) public view {
        uint256 found = Float32.canonical(bits, dtype);
        bool isFloat = dtype == ElementType.FLOAT32;
        uint256 sign = isFloat ? SIGN : 1 << 63;
        uint256 infinity = isFloat ? INFINITY : 0x7ff << 52;
        if (dtype == ElementType.BOOL) {
            assert(found == (bits == 0 ? 0 : 1));
        } else if (isFloat || dtype == ElementType.FLOAT64) {
            CHEATS.assume(!isFloat || bits >> 32 == 0);
            bool isNaN = (uint256(bits) & (sign - 1)) > infinity;
            assert(isNaN ? found == Float32.NONE : found == (bits == sign ? 0 : bits));
        } else {
            assert(found == bits);
        }
    }

    /// @dev Keys order floats as their values; both zeros are one.
    function check_orderKey(uint32 left, uint32 right) public view {
        CHEATS.assume((left & (SIGN - 1) <= INFINITY).and(right & (SIGN - 1) <= INFINITY));
        (int256 a, int256 b) = (Float32.orderKey(left), Float32.orderKey(right));
        // By sign and magnitude, as the standard orders them.
        bool less;
        if (left & SIGN != right & SIGN) less = left & SIGN != 0 && (left | right) & (SIGN - 1) != 0;
        else less = left & SIGN == 0 ? left < right : left > right;
        assert((a < b) == less);
        assert((a == b) == (left == right || (left | right) & (SIGN - 1) == 0));
    }

    /// @dev What rounds to 24 bits: a magnitude of `length` bits.
    function check_roundNormal(uint16 length, uint256 low, int256 exponent, bool negative, bool more) public view {
        uint256 bitLength = _sampled(length);
        uint256 magnitude = 1 << (bitLength - 1) | low & ((1 << (bitLength - 1)) - 1);
        int256 last = exponent + int256(bitLength) - 24;
        CHEATS.assume((exponent < FAR).and(last >= LEAST_EXPONENT));
        CHEATS.assume((!more).or(bitLength > 25));
        uint256 significand = bitLength > 24 ? _nearest(magnitude, bitLength - 24, more) : magnitude << (24 - bitLength);
        uint256 bits = Float32.round(negative, magnitude, exponent, more);
        // 2^24 is 2^23 of the next exponent, which is how the same bits read.
        uint256 expected = significand + (uint256(last - LEAST_EXPONENT) << 23);
        if (expected > INFINITY) expected = INFINITY;
        assert(bits == (negative ? expected + SIGN : expected));
    }

    /// @dev What rounds to a subnormal, or to the least normal: a magnitude with its last bit `places` below the last place.
    function check_roundSubnormal(uint16 places, uint256 magnitude, bool negative, bool more) public view {
        uint256 shift = _sampled(places);
        CHEATS.assume(shift > 231 || magnitude >> (shift + 24) == 0);
        CHEATS.assume((!more).or(magnitude >> 25 != 0).or(shift > 1));
        uint256 expected = magnitude == 0 ? 0 : _nearest(magnitude, shift, more);
        uint256 bits = Float32.round(negative, magnitude, LEAST_EXPONENT - int256(shift), more);
        assert(bits == (negative && expected != 0 ? expected + SIGN : expected));
    }

    /// @dev What lies far below the least subnormal.
    function check_roundTiny(uint256 magnitude, int256 exponent, bool negative, bool more) public view {
        CHEATS.assume((exponent < LEAST_EXPONENT - 256).and(exponent > -FAR));
        assert(Float32.round(negative, magnitude, exponent, more) == 0);
    }

    /// @dev The integer nearest to (magnitude + rest) / 2^places, of two equally near the even one: their distances decide.
    function _nearest(uint256 magnitude, uint256 places, bool more) private pure returns (uint256 found) {
        unchecked {
            uint256 half = 1 << (places - 1);
            found = places == 256 ? 0 : magnitude >> places;
            uint256 rest = places == 256 ? magnitude : magnitude - (found << places);
            bool isMiddle = (rest == half).and(!more);
            bool isAbove = (rest > half).or((rest == half).and(more));
            found += uint256(1).where(isAbove.or(isMiddle.and(found & 1 == 1)));
        }
    }

    /// @dev Every number up to one beyond two words of a float, and those where a machine word ends; one path for each.
    function _sampled(uint256 value) private view returns (uint256) {
        for (uint256 i = 1; i <= 34; ++i) {
            if (value == i) return i;
        }
        if (value == 64) return 64;
        if (value == 128) return 128;
        if (value == 192) return 192;
        CHEATS.assume(value == 256);
        return 256;
    }
}
