// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

import {FixedPoint} from "./FixedPoint.sol";
import {Float32} from "./Float32.sol";
import {FunctionNumber} from "./FunctionNumber.sol";

/// @dev f(x) lies between (n - slack) * 2^q and (n + slack) * 2^q.
struct Approximation {
    int256 n;
    uint256 slack;
    int256 q;
}

/// @title Real functions of one float, approximated where `SettledFunctions` leaves them open.
/// @dev Twin of `sworn.referee.unary`. There is one width: a relative error below 2^-180, POW's below 2^-170, is less
/// than the closest approach of any argument of a function of one float to a half-way point, 2^-76.6 (by exhaustion);
/// and among the 2^64 arguments and constants of POW and ELU one closer than 2^-170 is not to be expected.
library RealFunctions {
    using Float32 for uint256;

    int256 private constant BITS = int256(FixedPoint.BITS);
    uint256 private constant UNIT = FixedPoint.ONE;
    uint256 private constant SLACK = 1 << 12;
    // An angle is off by 2^26 units.
    uint256 private constant ANGLE_SLACK = 1 << 28;

    /// @dev What is not settled, approximated.
    function approximate(uint256 number, uint256 bits, uint256 alpha)
        internal
        pure
        returns (Approximation memory found)
    {
        (uint256 m, int256 e, bool negative) = normalised(bits);
        uint256 n;
        int256 q;
        uint256 slack = SLACK;
        if (number == FunctionNumber.EXP) {
            (n, q) = exponential(m, e, negative);
            negative = false;
        } else if (number == FunctionNumber.LOG) {
            int256 signed;
            (signed, q) = FixedPoint.logarithm(m, e);
            return Approximation(signed, slack, q);
        } else if (number == FunctionNumber.TANH) {
            (n, q) = _tanh(m, e);
        } else if (number == FunctionNumber.SIGMOID) {
            (n, q) = _sigmoid(m, e, negative);
            negative = false;
        } else if (number == FunctionNumber.ERF) {
            n = m * FixedPoint.mul(FixedPoint.TWO_OVER_SQRT_PI, FixedPoint.erfRatio(m, e)) >> 23;
            q = e + 23 - BITS;
        } else if (number == FunctionNumber.SOFTPLUS) {
            (n, q) = _softplus(m, e, negative);
            negative = false;
        } else if (number == FunctionNumber.ELU) {
            (n, q, negative) = _elu(m, e, alpha);
        } else {
            slack = ANGLE_SLACK;
            (n, q, negative) = _sine(m, e, negative, number == FunctionNumber.COS ? 1 : 0);
        }
        return Approximation(negative ? -int256(n) : int256(n), slack, q);
    }

    /// @dev A non-zero float as +-m * 2^e with 2^23 <= m < 2^24.
    function normalised(uint256 bits) internal pure returns (uint256 m, int256 e, bool negative) {
        unchecked {
            int256 significand;
            (significand, e) = (bits & Float32.MAGNITUDE).decode();
            m = uint256(significand);
            uint256 places = 23 - Math.log2(m);
            return (m << places, e - int256(places), bits.isNegative());
        }
    }

    /// @dev (n, q) with exp(+-m * 2^e) = n * 2^q, for an argument below 2^7.
    function exponential(uint256 m, int256 e, bool negative) internal pure returns (uint256 n, int256 q) {
        unchecked {
            uint256 y = FixedPoint.shifted(m, e + BITS + int256(FixedPoint.ARGUMENT_GUARD));
            int256 k;
            (n, k) = FixedPoint.exponential(negative ? -int256(y) : int256(y));
            q = k - BITS;
        }
    }

    function _tanh(uint256 m, int256 e) private pure returns (uint256, int256) {
        unchecked {
            // Below 1/4, with g = exp(2x) - 1 = 2m * 2^e * ratio: tanh(x) = g / (g + 2); g keeps its first bits.
            if (e + 24 <= -2) {
                uint256 g = m * FixedPoint.exponentialRatio(FixedPoint.shifted(m, e + 1 + BITS), false) >> 23;
                return (FixedPoint.div(g, 2 * UNIT + FixedPoint.shifted(g, e + 24)), e + 24 - BITS);
            }
            (uint256 t, int256 q) = exponential(m, e + 1, true);
            t = FixedPoint.shifted(t, q + BITS);
            return (FixedPoint.div(UNIT - t, UNIT + t), -BITS);
        }
    }

    function _sigmoid(uint256 m, int256 e, bool negative) private pure returns (uint256, int256) {
        unchecked {
            (uint256 t, int256 q) = exponential(m, e, true);
            uint256 denominator = UNIT + FixedPoint.shifted(t, q + BITS);
            return negative ? (FixedPoint.div(t, denominator), q) : (FixedPoint.div(UNIT, denominator), -BITS);
        }
    }

    function _softplus(uint256 m, int256 e, bool negative) private pure returns (uint256 n, int256 q) {
        unchecked {
            if (m == 0) (n, q) = (UNIT, -BITS);
            else (n, q) = exponential(m, e, true);
            (n, q) = FixedPoint.logarithmOfOnePlus(n, q + BITS);
            if (negative) return (n, q);
            return (FixedPoint.shifted(m, e + BITS) + FixedPoint.shifted(n, q + BITS), -BITS);
        }
    }

    /// @dev |alpha| * (1 - exp(-m * 2^e)), and whether ELU is negative.
    function _elu(uint256 m, int256 e, uint256 alpha) private pure returns (uint256 n, int256 q, bool negative) {
        unchecked {
            (uint256 a, int256 p, bool below) = normalised(alpha);
            if (e < -26) {
                n = m * FixedPoint.exponentialRatio(FixedPoint.shifted(m, e + BITS), true) >> 23;
                q = e + 23 - BITS;
            } else {
                (n, q) = exponential(m, e, true);
                (n, q) = (UNIT - FixedPoint.shifted(n, q + BITS), -BITS);
            }
            return (a * n >> 23, p + 23 + q, !below);
        }
    }

    /// @dev The sine of +-m * 2^e + turn * pi/2, without its sign.
    function _sine(uint256 m, int256 e, bool negative, uint256 turn)
        private
        pure
        returns (uint256 n, int256 q, bool below)
    {
        unchecked {
            uint256 quadrant;
            uint256 r;
            (quadrant, r, below) = FixedPoint.quadrantOf(m, e);
            uint256 square = FixedPoint.mul(r, r);
            // Of the two symmetries, sin(-x) = -sin(x) and cos(-x) = cos(x), the argument's takes the whole.
            bool turned = (quadrant + turn) & 2 != 0;
            bool isCosine = (quadrant + turn) & 1 != 0;
            n = isCosine ? FixedPoint.cosine(square) : FixedPoint.mul(r, FixedPoint.sineRatio(square));
            q = -BITS;
            if (isCosine) below = false;
            below = below != turned;
            if (turn == 0 && negative) below = !below;
        }
    }
}
