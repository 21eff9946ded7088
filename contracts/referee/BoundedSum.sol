// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Float32} from "./Float32.sol";
import {ProductSum} from "./ProductSum.sol";

/// @title Which floats a sum of products may give in profile `bounded`; twin of `sworn.referee.bounded`.
/// @dev With the exact sum c, the sum S of its terms' sizes and tol = kappa * (2^-24 * S + 2^-149), both divided:
/// clamp(c - tol) <= y <= clamp(c + tol) over the reals. All of it is compared in units of 2^-322 / divisor, in limbs of
/// 128 bits as `ProductSum` has them, of which none passes 2^214.
library BoundedSum {
    // -298 - 24: sizes are multiplied by 2^-24.
    int256 private constant UNIT = -322;
    uint256 private constant SCALE = 24;
    // 2^-149 is 2^173 units: the second limb, shifted by 45.
    uint256 private constant LEAST_FLOAT_SHIFT = 173 - 128;

    function admits(uint256 bins, uint256 divisor, uint256 kappa, uint256 claimed, uint256 lower, uint256 upper)
        internal
        pure
        returns (bool)
    {
        if (Float32.isInfinite(claimed)) return false;
        (int256 down, int256 up) = _ends(bins, divisor, kappa, claimed);
        int256 key = Float32.orderKey(claimed);
        int256 most = Float32.orderKey(upper);
        int256 least = Float32.orderKey(lower);
        // min(max(v, lower), upper) against y, for both ends of what the sum may be: where bounds cross, upper wins.
        bool reachesDown = (down >= 0 && least <= key) || most <= key;
        return reachesDown && key <= most && (up <= 0 || key <= least);
    }

    /// @dev The signs of y - (c - tol) and of y - (c + tol).
    function _ends(uint256 bins, uint256 divisor, uint256 kappa, uint256 claimed)
        private
        pure
        returns (int256 down, int256 up)
    {
        unchecked {
            int256[4] memory low;
            int256[4] memory high;
            (int256 significand, int256 exponent) = Float32.decode(claimed);
            uint256 place = uint256(exponent - UNIT);
            int256 y = significand * int256(divisor) * int256(1 << (place & 127));
            for (uint256 k; k < 4; ++k) {
                int256 positive = ProductSum.bin(bins, k, false);
                int256 negative = ProductSum.bin(bins, k, true);
                int256 difference = (negative - positive) * int256(1 << SCALE) + (place >> 7 == k ? y : int256(0));
                int256 reach = int256(kappa) * (positive + negative);
                if (k == 1) reach += int256(kappa * divisor << LEAST_FLOAT_SHIFT);
                low[k] = difference + reach;
                high[k] = difference - reach;
            }
            return (_sign(low), _sign(high));
        }
    }

    function _sign(int256[4] memory limbs) private pure returns (int256) {
        int256 top = ProductSum.normalise(limbs);
        if (top < 0) return -1;
        return top | limbs[0] | limbs[1] | limbs[2] == 0 ? int256(0) : int256(1);
    }
}
