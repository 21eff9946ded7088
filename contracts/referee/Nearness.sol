// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {SignedMath} from "@openzeppelin/contracts/utils/math/SignedMath.sol";

import {IReferee} from "../interfaces/IReferee.sol";
import {Float32} from "./Float32.sol";
import {FunctionNumber} from "./FunctionNumber.sol";
import {WideSum} from "./WideSum.sol";

/// @dev A number from low * 2^exponent to high * 2^exponent, each with another * 2^otherExponent added to it and divided by
/// the denominator.
struct Enclosure {
    int256 low;
    int256 high;
    int256 exponent;
    int256 other;
    int256 otherExponent;
    uint256 denominator;
}

/// @title Whether a float lies within a tolerance of the exact value of a function; twin of `sworn.referee.nearness`.
/// @dev y is admissible for f where |y - f| <= rel * 2^-24 * |f| + 2^margin, over the reals.
library Nearness {
    using WideSum for WideSum.Sum;

    // From 2^128 - 2^103 on numbers round to infinity.
    int256 private constant OVERFLOW = (1 << 25) - 1;
    int256 private constant OVERFLOW_EXPONENT = 103;

    /// @dev Whether a function has a tolerance, and which; twin of `sworn.referee.tolerances`.
    function toleranceOf(uint256 number) internal pure returns (bool exists, uint256 rel, int256 margin) {
        if (number == FunctionNumber.EXP) return (true, 4, -147);
        if (number == FunctionNumber.LOG) return (true, 16, -147);
        if (number == FunctionNumber.TANH) return (true, 24, -140);
        if (number == FunctionNumber.ERF) return (true, 6, -147);
        if (number == FunctionNumber.SIGMOID) return (true, 0, -21);
        if (number == FunctionNumber.SOFTPLUS) return (true, 16, -147);
        if (number == FunctionNumber.ELU) return (true, 2, -22);
        if (number == FunctionNumber.HARD_SIGMOID) return (true, 2, -23);
        if (number == FunctionNumber.SIN) return (true, 8, -147);
        if (number == FunctionNumber.COS) return (true, 8, -147);
        if (number == FunctionNumber.POW) return (true, 8, -147);
    }

    /// @dev A value that is a float.
    function ofFloat(uint256 bits) internal pure returns (Enclosure memory found) {
        (int256 significand, int256 exponent) = Float32.decode(bits);
        return ofDyadic(significand, exponent);
    }

    function ofDyadic(int256 significand, int256 exponent) internal pure returns (Enclosure memory) {
        return Enclosure(significand, significand, exponent, 0, 0, 1);
    }

    /// @dev Whether the claimed float may stand for what is enclosed. Reverts where that depends on what it is.
    /// An infinity may where the value, its sign and the tolerance reach what rounds to it.
    function admits(uint256 number, uint256 claimed, Enclosure memory value) internal pure returns (bool) {
        (, uint256 rel, int256 margin) = toleranceOf(number);
        bool infinite = Float32.isInfinite(claimed);
        if (infinite && Float32.isNegative(claimed)) {
            (value.low, value.high, value.other) = (-value.high, -value.low, -value.other);
            claimed ^= Float32.SIGN;
        }
        if (
            _compare(claimed, value, value.low, rel, margin, true) <= 0
                && (infinite || _compare(claimed, value, value.high, rel, margin, false) >= 0)
        ) return true;
        if (
            _compare(claimed, value, value.high, rel, margin, true) > 0
                || (!infinite && _compare(claimed, value, value.low, rel, margin, false) < 0)
        ) return false;
        revert IReferee.RoundingUndecided(number, claimed);
    }

    /// @dev The sign of y - (f + tol), or of y - (f - tol), for one end of an enclosure, times its denominator.
    function _compare(uint256 claimed, Enclosure memory value, int256 end, uint256 rel, int256 margin, bool up)
        private
        pure
        returns (int256)
    {
        unchecked {
            (int256 y, int256 place) =
                Float32.isInfinite(claimed) ? (OVERFLOW, OVERFLOW_EXPONENT) : Float32.decode(claimed);
            WideSum.Sum memory sum;
            sum.add(y < 0, SignedMath.abs(y) * value.denominator, place);
            sum.add(up, value.denominator, margin);
            // The sign of f: of its parts' sum, taken exactly.
            WideSum.Sum memory f;
            f.add(end < 0, SignedMath.abs(end), value.exponent);
            f.add(value.other < 0, SignedMath.abs(value.other), value.otherExponent);
            bool isNegative = f.sign() < 0;
            _addScaled(sum, end, value.exponent, rel, up != isNegative);
            _addScaled(sum, value.other, value.otherExponent, rel, up != isNegative);
            return sum.sign();
        }
    }

    /// @dev Takes off part * 2^exponent, and rel * 2^-24 of it once more; that is added unless `off`.
    function _addScaled(WideSum.Sum memory sum, int256 part, int256 exponent, uint256 rel, bool off) private pure {
        unchecked {
            uint256 magnitude = SignedMath.abs(part);
            sum.add(part >= 0, magnitude, exponent);
            sum.add((part < 0) != off, magnitude * rel, exponent - 24);
        }
    }
}
