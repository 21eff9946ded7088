// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Enclosure, Nearness} from "../../contracts/referee/Nearness.sol";

/// @title Lets tests give an enclosure as wide as they like.
contract NearnessHarness {
    /// @dev Whether a claimed float may stand for a number between low and high, each times 2^exponent.
    function admits(uint256 number, uint256 claimed, int256 low, int256 high, int256 exponent)
        external
        pure
        returns (bool)
    {
        return Nearness.admits(number, claimed, Enclosure(low, high, exponent, 0, 0, 1));
    }
}
