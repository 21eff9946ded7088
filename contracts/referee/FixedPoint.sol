// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

/// @title Exponentials, logarithms and their like in fixed point: integers with 200 bits after the point.
/// @dev Errors are counted in units of the last of those bits. Every shift and every division rounds down and costs
/// less than one unit. A term of a series is made by one shift and one or two divisions and inherits less than its
/// predecessor's error; no series has more than 100 terms (45 exp, 63 artanh, 100 erf, 25 sine), and the tail that is
/// cut off is less than one unit, as a term below one unit is 0 and terms fall faster than by half from there on. So a
/// series is off by less than 100 * 3 < 2^9 units, unless it says otherwise, and what is made of one or two of them
/// with a few products by less than 2^12.
library FixedPoint {
    uint256 internal constant BITS = 200;
    uint256 internal constant ONE = 1 << BITS;
    // Constants are rounded down. ln 2 once more with the bits of an exponential's argument.
    uint256 internal constant LN2 = 0xb17217f7d1cf79abc9e3b39803f2f6af40f343267298b62d8a;
    uint256 internal constant RIGHT_ANGLE = 0x1921fb54442d18469898cc51701b839a252049c1114cf98e804;
    uint256 internal constant TWO_OVER_SQRT_PI = 0x120dd750429b6d11ae3a914fed7fd8688281341d7587cea2e73;

    /// @dev An argument of `exponential` has so many bits more: |k| <= 256 multiples of ln 2, each off by less than one.
    uint256 internal constant ARGUMENT_GUARD = 8;
    uint256 private constant GUARDED_LN2 = 0xb17217f7d1cf79abc9e3b39803f2f6af40f343267298b62d8a0d;

    // 2/pi with 512 bits: no float has more than 104 bits before the last of its significand.
    uint256 private constant TWO_OVER_PI_HIGH = 0xa2f9836e4e441529fc2757d1f534ddc0db6295993c439041fe5163abdebbc561;
    uint256 private constant TWO_OVER_PI_LOW = 0xb7246e3a424dd2e006492eea09d1921cfe1deb1cb129a73ee88235f52ebb4484;

    // The terms of erf's series reach 16^16 / 16! < 2^20 at |x| = 4, and so do the errors that they inherit.
    uint256 private constant ERF_GUARD = 24;

    // The first significand whose square is at least 2^47.
    uint256 private constant SQRT2_SIGNIFICAND = 11863284;

    /// @dev a * b / 2^200, for a product below 2^456.
    function mul(uint256 a, uint256 b) internal pure returns (uint256) {
        unchecked {
            (uint256 high, uint256 low) = Math.mul512(a, b);
            return high << (256 - BITS) | low >> BITS;
        }
    }

    /// @dev a * 2^200 / b, which is to be below 2^256.
    function div(uint256 a, uint256 b) internal pure returns (uint256) {
        return Math.mulDiv(a, ONE, b);
    }

    /// @dev The value times 2^places, rounded down.
    function shifted(uint256 value, int256 places) internal pure returns (uint256) {
        unchecked {
            return places >= 0 ? value << uint256(places) : value >> uint256(-places);
        }
    }

    /// @dev (t, k) with exp(y) = t * 2^(k - 200) and t from 2^200 to 2^201; y has 208 bits after the point.
    function exponential(int256 y) internal pure returns (uint256 total, int256 k) {
        unchecked {
            k = y / int256(GUARDED_LN2);
            if (y < k * int256(GUARDED_LN2)) --k;
            uint256 r = uint256(y - k * int256(GUARDED_LN2)) >> ARGUMENT_GUARD;
            uint256 term = ONE;
            total = ONE;
            for (uint256 n = 1; term != 0; ++n) {
                term = mul(term, r) / n;
                total += term;
            }
        }
    }

    /// @dev (exp(y) - 1) / y for 0 <= y <= 1/2, or (1 - exp(-y)) / y: keeps every bit of the difference when y is small.
    function exponentialRatio(uint256 y, bool falling) internal pure returns (uint256 total) {
        unchecked {
            uint256 term = ONE;
            total = ONE;
            for (uint256 n = 2; term != 0; ++n) {
                term = mul(term, y) / n;
                total = falling && n & 1 == 0 ? total - term : total + term;
            }
        }
    }

    /// @dev Sum of v^j / (2j + 1) = artanh(sqrt v) / sqrt v, for v <= 1/9.
    function oddReciprocals(uint256 v) internal pure returns (uint256 total) {
        unchecked {
            uint256 power = ONE;
            total = ONE;
            for (uint256 n = 3; power != 0; n += 2) {
                power = mul(power, v);
                total += power / n;
            }
        }
    }

    /// @dev (n, q) with log(m * 2^e) = n * 2^q and |n| >= 2^197, off by less than 2^10 units, for 2^23 <= m < 2^24.
    /// With f = x / 2^k between sqrt 1/2 and sqrt 2 and u = (f - 1) / (f + 1): log x = k * ln 2 + 2 * artanh(u), where
    /// |u| < 0.172. Where k = 0 the bits of u start at its first non-zero one, so that the relative error is as small
    /// near x = 1. Not for x = 1.
    function logarithm(uint256 m, int256 e) internal pure returns (int256 n, int256 q) {
        unchecked {
            int256 k = e + 23;
            uint256 unit = 1 << 23;
            if (m >= SQRT2_SIGNIFICAND) {
                ++k;
                unit <<= 1;
            }
            uint256 difference = m < unit ? unit - m : m - unit;
            uint256 zeros = k == 0 ? Math.log2(m + unit) - Math.log2(difference) : 0;
            uint256 u = (difference << (BITS + zeros)) / (m + unit);
            uint256 artanh = mul(u, oddReciprocals(mul(u, u) >> (2 * zeros)));
            n = (m < unit ? -int256(2 * artanh) : int256(2 * artanh)) + k * int256(LN2);
            q = -int256(BITS + zeros);
        }
    }

    /// @dev (n, q) with log(1 + t * 2^(k - 200)) = n * 2^q and n >= 2^197; what is added to 1 is at most 1.
    function logarithmOfOnePlus(uint256 t, int256 k) internal pure returns (uint256 n, int256 q) {
        unchecked {
            uint256 u = div(t, 2 * ONE + shifted(t, k));
            n = 2 * mul(u, oddReciprocals(shifted(mul(u, u), 2 * k)));
            q = k - int256(BITS);
        }
    }

    /// @dev sqrt(pi) / 2 * erf(x) / x = sum of (-x^2)^j / (j! (2j + 1)) for x = m * 2^e < 4 and m < 2^24.
    /// Each of at most 100 terms is off by 2 units of its 224 bits and hands on at most 16^16 / 16! times as much.
    function erfRatio(uint256 m, int256 e) internal pure returns (uint256) {
        unchecked {
            uint256 v = shifted(m * m, 2 * e + int256(BITS + ERF_GUARD));
            uint256 term = ONE << ERF_GUARD;
            int256 total = int256(term);
            for (uint256 n = 1; term != 0; ++n) {
                // SAFETY: term * v / 2^224 <= 2^224 * 16^16 / 15! < 2^248.
                (uint256 high, uint256 low) = Math.mul512(term, v);
                term = (high << (256 - BITS - ERF_GUARD) | low >> (BITS + ERF_GUARD)) / n;
                int256 part = int256(term / (2 * n + 1));
                total += n & 1 == 1 ? -part : part;
            }
            return uint256(total) >> ERF_GUARD;
        }
    }

    /// @dev Cosine of sqrt v, for v <= 0.62.
    function cosine(uint256 v) internal pure returns (uint256) {
        return _alternating(v, 2);
    }

    /// @dev sin(sqrt v) / sqrt v, for v <= 0.62.
    function sineRatio(uint256 v) internal pure returns (uint256) {
        return _alternating(v, 3);
    }

    /// @dev (quadrant, r) with m * 2^e = quadrant * pi/2 +- r and r <= pi/4 and off by less than 2^26 units, for
    /// m < 2^24 and -60 <= e <= 104; r is to be taken off where `below`.
    function quadrantOf(uint256 m, int256 e) internal pure returns (uint256 quadrant, uint256 r, bool below) {
        unchecked {
            // 2^e * 2/pi modulo 4, with 200 bits: the bits of 2/pi before these are multiples of whole turns.
            uint256 places = uint256(512 - int256(BITS) - e);
            uint256 window = places >= 256
                ? TWO_OVER_PI_HIGH >> (places - 256)
                : TWO_OVER_PI_HIGH << (256 - places) | TWO_OVER_PI_LOW >> places;
            window &= 4 * ONE - 1;
            uint256 turns = m * window;
            quadrant = (turns >> BITS) & 3;
            r = turns & (ONE - 1);
            if (r >= ONE / 2) {
                quadrant = (quadrant + 1) & 3;
                (r, below) = (ONE - r, true);
            }
            r = mul(r, RIGHT_ANGLE);
        }
    }

    function _alternating(uint256 v, uint256 start) private pure returns (uint256 total) {
        unchecked {
            uint256 term = ONE;
            total = ONE;
            for (uint256 n = start; term != 0; n += 2) {
                term = mul(term, v) / (n * (n - 1));
                total = (n - start) & 2 == 0 ? total - term : total + term;
            }
        }
    }
}
