// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Convictions} from "./dispute/Convictions.sol";
import {Equivocations} from "./dispute/Equivocations.sol";
import {IInferenceOracle} from "./interfaces/IInferenceOracle.sol";
import {IModelRegistry} from "./interfaces/IModelRegistry.sol";
import {IOperatorRegistry} from "./interfaces/IOperatorRegistry.sol";
import {ISignedResults} from "./interfaces/ISignedResults.sol";

/// @title DisputeGame
/// @dev Judges equivocation only; `FaultDisputeGame` judges single elements besides.
contract DisputeGame is Equivocations {
    constructor(
        IInferenceOracle oracle,
        IOperatorRegistry operatorRegistry,
        IModelRegistry modelRegistry,
        ISignedResults signedResults
    ) Convictions(oracle, operatorRegistry, modelRegistry, signedResults) {}
}
