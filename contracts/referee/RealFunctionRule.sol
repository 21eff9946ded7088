// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {SignedMath} from "@openzeppelin/contracts/utils/math/SignedMath.sol";

import {IReferee} from "../interfaces/IReferee.sol";
import {ElementType} from "./ElementType.sol";
import {Float32} from "./Float32.sol";
import {FunctionNumber} from "./FunctionNumber.sol";
import {Claim, IRule} from "./IRule.sol";
import {Call, PointwiseBody} from "./PointwiseBody.sol";
import {Enclosure, Nearness} from "./Nearness.sol";
import {Powers} from "./Powers.sol";
import {Approximation, RealFunctions} from "./RealFunctions.sol";
import {SettledFunctions} from "./SettledFunctions.sol";

/// @title The referee of exponentials, logarithms and their like; twin of `sworn.referee.unary` and `nearness`.
contract RealFunctionRule is IRule {
    using Float32 for uint256;

    // 2^150 is beyond every float and every bound, and 2^240 * 2^-520 below every one.
    int256 private constant HIGHEST = 150;
    int256 private constant LOWEST = -520;
    // So is 2^200 over any denominator that `Powers.inverse` gives.
    int256 private constant HIGHEST_NUMERATOR = 200;

    /// @inheritdoc IRule
    function refutes(Claim calldata claim, bytes calldata proof) external pure returns (bool) {
        Call memory call = PointwiseBody.read(claim, proof);
        if (!claim.canonical) return true;
        bool defined = call.operands.length == 1 && call.dtypes[0] == ElementType.FLOAT32;
        if (!defined || call.output != ElementType.FLOAT32) revert IReferee.FunctionUndefined(call.number);
        uint256 bits = call.operands[0].canonical();
        if (bits == Float32.NONE) return true;
        uint256 value = _settled(call, bits);
        Approximation memory found;
        bool isOpen = value == SettledFunctions.OPEN;
        if (isOpen) {
            found = call.number == FunctionNumber.POW
                ? Powers.approximate(bits, call.alpha)
                : RealFunctions.approximate(call.number, bits, call.alpha);
            value = _nearest(call.number, found, claim.bits);
        }
        if (value == claim.bits) return false;
        if (!claim.bounded || value == Float32.NONE) return true;
        // Neither an infinity that is exact nor what ELU hands on has a neighbour that is near enough.
        if (call.number == FunctionNumber.ELU && !bits.isNegative()) return true;
        if (!isOpen && value.isInfinite() && (bits.isInfinite() || !_isPower(call, bits))) return true;
        return !Nearness.admits(call.number, claim.bits, _enclosure(call, bits, value, isOpen, found));
    }

    /// @dev As `SettledFunctions.valueOf`. Reverts for a constant that is infinite.
    function _settled(Call memory call, uint256 bits) private pure returns (uint256 value) {
        bool isPower = call.number == FunctionNumber.POW;
        if ((isPower || call.number == FunctionNumber.ELU) && call.alpha.isInfinite()) {
            revert IReferee.FunctionUndefined(call.number);
        }
        if (!isPower) return SettledFunctions.valueOf(call.number, bits, call.alpha);
        value = Powers.atEdges(bits, call.alpha);
        if (value != SettledFunctions.OPEN) return value;
        (bool exists, uint256 significand, int256 exponent) = Powers.dyadic(bits, call.alpha);
        if (exists) value = Float32.round(Powers.isSigned(bits, call.alpha), significand, exponent, false);
    }

    /// @dev Whether a power is one that `Powers.atEdges` leaves.
    function _isPower(Call memory call, uint256 bits) private pure returns (bool) {
        return call.number == FunctionNumber.POW && Powers.atEdges(bits, call.alpha) == SettledFunctions.OPEN;
    }

    /// @dev The float that is nearest to the value. Where that may be either of two, one that is not claimed; reverts
    /// where one of them is.
    function _nearest(uint256 number, Approximation memory found, uint256 claimed) private pure returns (uint256 low) {
        low = Float32.round(found.n - int256(found.slack), found.q);
        uint256 high = Float32.round(found.n + int256(found.slack), found.q);
        if (low != high && (low == claimed || high == claimed)) revert IReferee.RoundingUndecided(number, claimed);
    }

    /// @dev The exact value: a power that is dyadic, what was settled, or what was approximated.
    function _enclosure(Call memory call, uint256 bits, uint256 value, bool isOpen, Approximation memory found)
        private
        pure
        returns (Enclosure memory)
    {
        if (isOpen) {
            (uint256 denominator, int256 place) = _inverse(call, bits);
            if (denominator != 0) {
                int256 one = Powers.isSigned(bits, call.alpha) ? int256(-1) : int256(1);
                place = SignedMath.max(SignedMath.min(place, HIGHEST_NUMERATOR), LOWEST);
                return Enclosure(one, one, place, 0, 0, denominator);
            }
            int256 q = _near(found.q);
            return Enclosure(found.n - int256(found.slack), found.n + int256(found.slack), q, 0, 0, 1);
        }
        if (!_isPower(call, bits)) return Nearness.ofFloat(value);
        (, uint256 significand, int256 exponent) = Powers.dyadic(bits, call.alpha);
        int256 part = Powers.isSigned(bits, call.alpha) ? -int256(significand) : int256(significand);
        return Nearness.ofDyadic(part, _near(exponent));
    }

    function _inverse(Call memory call, uint256 bits) private pure returns (uint256, int256) {
        if (call.number != FunctionNumber.POW) return (0, 0);
        return Powers.inverse(bits, call.alpha);
    }

    function _near(int256 exponent) private pure returns (int256) {
        return SignedMath.max(SignedMath.min(exponent, HIGHEST), LOWEST);
    }
}
