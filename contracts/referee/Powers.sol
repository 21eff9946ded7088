// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SignedMath} from "@openzeppelin/contracts/utils/math/SignedMath.sol";

import {FixedPoint} from "./FixedPoint.sol";
import {Float32} from "./Float32.sol";
import {Approximation, RealFunctions} from "./RealFunctions.sol";
import {SettledFunctions} from "./SettledFunctions.sol";

/// @title Powers with a constant exponent; twin of `sworn.referee.powers`.
library Powers {
    using Float32 for uint256;

    // Beyond any float in either direction, its square root included.
    int256 private constant FAR = 1000;
    // Odd numbers below this stay below 2^240 when they are multiplied by a significand.
    uint256 private constant ROOM = 1 << 216;
    uint256 private constant MAX_DENOMINATOR = (1 << 21) + 1;
    // The logarithm is off by less than 2^10 of at least 2^197 units, and the argument of the exponential, below 2^7, by
    // less than 2^7 * 2^(10 - 197) = 2^-180, which is 2^20 units: so is its result, below 2^201, by less than 2^22.
    uint256 private constant SLACK = 1 << 23;

    /// @dev The bits of a^alpha where a is 0, 1 or infinite or alpha is 0, `NONE` where it has no value, or `OPEN`.
    function atEdges(uint256 bits, uint256 alpha) internal pure returns (uint256) {
        if (alpha == 0 || bits == Float32.ONE) return Float32.ONE;
        bool odd;
        if (bits.isNegative()) {
            (, int256 place) = _odd(alpha);
            if (place < 0) return Float32.NONE;
            odd = place == 0;
        }
        if (bits.isInfinite()) return alpha.isNegative() ? 0 : Float32.INFINITY | (odd ? Float32.SIGN : 0);
        if (bits == 0) return alpha.isNegative() ? Float32.INFINITY : 0;
        return SettledFunctions.OPEN;
    }

    /// @dev |a|^alpha = significand * 2^exponent, for what `atEdges` leaves, where there are such below 2^240: every float
    /// and every number half-way between two is among them. Exponents beyond any float are cut short.
    function dyadic(uint256 bits, uint256 alpha)
        internal
        pure
        returns (bool exists, uint256 significand, int256 exponent)
    {
        (uint256 m, int256 e, int256 power, bool isDyadic) = powerOfOdd(bits, alpha);
        if (!isDyadic || (m != 1 && power <= 0)) return (false, 0, 0);
        significand = 1;
        if (m != 1) {
            for (int256 i; i < power; ++i) {
                // From here on, powers of numbers from 3 on have more bits than rounding looks at.
                if (significand >= ROOM) return (false, 0, 0);
                significand *= m;
            }
        }
        return (true, significand, SignedMath.max(SignedMath.min(e * power, FAR), -FAR));
    }

    /// @dev |a|^alpha = 2^exponent / denominator, for what `atEdges` leaves; denominator 0 where there are none, or none that
    /// can lie on a bound. Such a bound is f * (2^24 +- 8) / 2^24 +- 2^-147: it is a float, or what overflows, only if the odd
    /// denominator of f divides 2^21 +- 1. A power of `dyadic`'s length and more has too many bits to lie on one.
    function inverse(uint256 bits, uint256 alpha) internal pure returns (uint256 denominator, int256 exponent) {
        (uint256 m, int256 e, int256 power, bool isDyadic) = powerOfOdd(bits, alpha);
        if (!isDyadic || m == 1 || power >= 0) return (0, 0);
        denominator = 1;
        for (int256 i; i > power; --i) {
            denominator *= m;
            if (denominator > MAX_DENOMINATOR) return (0, 0);
        }
        exponent = e * power;
    }

    /// @dev What is neither at the edges nor exact, as exp(alpha * log |a|).
    function approximate(uint256 bits, uint256 alpha) internal pure returns (Approximation memory found) {
        unchecked {
            (uint256 m, int256 e,) = RealFunctions.normalised(bits);
            (int256 n, int256 q) = FixedPoint.logarithm(m, e);
            (int256 a, int256 p) = alpha.decode();
            // SAFETY: |log| < 2^7 and |alpha| < 2^24 units: less than 2^232.
            int256 y = n * a;
            int256 exponent = q + p;
            uint256 t = FixedPoint.ONE;
            if (int256(Math.log2(SignedMath.abs(y))) + 1 + exponent > 7) {
                exponent = y > 0 ? FAR : -FAR;
            } else {
                exponent += int256(FixedPoint.BITS + FixedPoint.ARGUMENT_GUARD);
                y = exponent >= 0 ? y << uint256(exponent) : y >> uint256(-exponent);
                (t, exponent) = FixedPoint.exponential(y);
                exponent -= int256(FixedPoint.BITS);
            }
            return Approximation(isSigned(bits, alpha) ? -int256(t) : int256(t), SLACK, exponent);
        }
    }

    /// @dev |a|^alpha = (m * 2^e)^power for odd m and an integer power, where there are such.
    /// A root of a dyadic number is dyadic only if m is a square and e is even; all others are irrational.
    function powerOfOdd(uint256 bits, uint256 alpha)
        internal
        pure
        returns (uint256 m, int256 e, int256 power, bool isDyadic)
    {
        (m, e) = _odd(bits);
        (uint256 n, int256 place) = _odd(alpha);
        for (; place < 0; ++place) {
            uint256 root = Math.sqrt(m);
            if (root * root != m || e % 2 != 0) return (m, e, 0, false);
            (m, e) = (root, e / 2);
        }
        power = int256(n << uint256(place));
        return (m, e, alpha.isNegative() ? -power : power, true);
    }

    /// @dev Whether a^alpha is negative, for a finite a and what `atEdges` leaves.
    function isSigned(uint256 bits, uint256 alpha) internal pure returns (bool) {
        if (!bits.isNegative()) return false;
        (, int256 place) = _odd(alpha);
        return place == 0;
    }

    /// @dev The magnitude of a non-zero float with an odd significand.
    function _odd(uint256 bits) private pure returns (uint256 m, int256 e) {
        unchecked {
            int256 significand;
            (significand, e) = (bits & Float32.MAGNITUDE).decode();
            m = uint256(significand);
            uint256 places = Math.log2(m & (~m + 1));
            return (m >> places, e + int256(places));
        }
    }
}
