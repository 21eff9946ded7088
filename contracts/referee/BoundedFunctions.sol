// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {SignedMath} from "@openzeppelin/contracts/utils/math/SignedMath.sol";

import {Float32} from "./Float32.sol";
import {FunctionNumber} from "./FunctionNumber.sol";
import {Claim} from "./IRule.sol";
import {Enclosure, Nearness} from "./Nearness.sol";
import {Call} from "./PointwiseBody.sol";
import {WideSum} from "./WideSum.sol";

/// @title Which floats HARD_SIGMOID may give in profile `bounded`; all other functions without a series are exact.
library BoundedFunctions {
    using Float32 for uint256;
    using WideSum for WideSum.Sum;

    /// @dev Whether a claim is neither the exact value nor, in profile `bounded`, within the function's tolerance of it.
    function refutes(Claim calldata claim, Call memory call, uint256 value) internal pure returns (bool) {
        if (value == claim.bits) return false;
        return value == Float32.NONE || !claim.bounded || !_admits(call, value, claim.bits);
    }

    function _admits(Call memory call, uint256 value, uint256 claimed) private pure returns (bool) {
        if (call.number != FunctionNumber.HARD_SIGMOID) return false;
        uint256 a = call.operands[0].canonical();
        // What infinite operands give is exact.
        Enclosure memory found = a.isInfinite() ? Nearness.ofFloat(value) : _hardSigmoid(a, call.alpha, call.beta);
        return Nearness.admits(call.number, claimed, found);
    }

    /// @dev alpha * a + beta, exactly, or the bound that it passes.
    function _hardSigmoid(uint256 a, uint256 alpha, uint256 beta) private pure returns (Enclosure memory) {
        (int256 m, int256 p) = a.decode();
        (int256 n, int256 q) = alpha.decode();
        (int256 intercept, int256 r) = beta.decode();
        WideSum.Sum memory sum;
        sum.add((m < 0) != (n < 0), SignedMath.abs(m * n), p + q);
        sum.add(intercept < 0, SignedMath.abs(intercept), r);
        if (sum.sign() <= 0) return Nearness.ofFloat(Float32.ZERO);
        sum.add(true, 1, 0);
        if (sum.sign() >= 0) return Nearness.ofFloat(Float32.ONE);
        return Enclosure(m * n, m * n, p + q, intercept, r, 1);
    }
}
