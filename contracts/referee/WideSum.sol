// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @title The exact sum of numbers of any size that floats and their products have, and its sign.
/// @dev The sum is that of limbs[k] * 2^(128 k - 640). A number lies between 2^-640 and 2^448; each adds less than 2^192
/// to a limb, so that millions of them overflow none.
library WideSum {
    int256 private constant LEAST_EXPONENT = -640;
    uint256 private constant LIMBS = 9;

    struct Sum {
        int256[LIMBS] limbs;
    }

    /// @dev Adds +-magnitude * 2^exponent. What lies wholly below the least exponent is a single unit there.
    function add(Sum memory sum, bool negative, uint256 magnitude, int256 exponent) internal pure {
        unchecked {
            uint256 place = uint256(exponent - LEAST_EXPONENT);
            for (; magnitude != 0; magnitude >>= 64) {
                int256 part = int256(uint256(uint64(magnitude)) << (place & 127));
                sum.limbs[place >> 7] += negative ? -part : part;
                place += 64;
            }
        }
    }

    /// @dev -1, 0 or 1.
    function sign(Sum memory sum) internal pure returns (int256) {
        unchecked {
            int256 carry;
            bool isZero = true;
            for (uint256 k; k < LIMBS; ++k) {
                int256 limb = sum.limbs[k] + carry;
                if (uint128(uint256(limb)) != 0) isZero = false;
                carry = limb >> 128;
            }
            if (carry < 0) return -1;
            return isZero && carry == 0 ? int256(0) : int256(1);
        }
    }
}
