// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Claim, IRule} from "./IRule.sol";
import {CopyRule} from "./CopyRule.sol";
import {LookupRule} from "./LookupRule.sol";
import {RankRule} from "./RankRule.sol";
import {RuleNumber} from "./RuleNumber.sol";
import {WitnessRules} from "./WitnessRules.sol";

/// @title The referee of the rules that choose elements instead of computing them.
contract SelectionRule is IRule {
    /// @inheritdoc IRule
    function refutes(Claim calldata claim, bytes calldata proof) external pure returns (bool) {
        if (claim.rule == RuleNumber.COPY) return CopyRule.refutes(claim, proof);
        if (claim.rule == RuleNumber.LOOKUP) return LookupRule.refutes(claim, proof);
        if (claim.rule == RuleNumber.RANK) return RankRule.refutes(claim, proof);
        if (claim.rule == RuleNumber.TREE) return WitnessRules.refutesLeaf(claim, proof);
        return WitnessRules.refutesExtremum(claim, proof);
    }
}
