// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @title Size and split of a bond.
library Bond {
    uint256 internal constant PROVER_PERCENT = 30;
    uint256 internal constant VICTIM_PERCENT = 50;

    /// @notice The bond behind a result.
    /// @dev INVARIANT: the victim's 50 % of it covers the value at risk, and 20 % are burnt, so that convicting oneself
    /// costs at least a fifth.
    function sizeFor(uint256 valueAtRiskWei, uint256 minBondWei) internal pure returns (uint256) {
        uint256 covering = 2 * valueAtRiskWei;
        return covering > minBondWei ? covering : minBondWei;
    }

    /// @notice Shares of slashed stake; what is left is burnt.
    function split(uint256 slashedWei) internal pure returns (uint256 rewardWei, uint256 compensationWei) {
        rewardWei = (slashedWei * PROVER_PERCENT) / 100;
        compensationWei = (slashedWei * VICTIM_PERCENT) / 100;
    }
}
