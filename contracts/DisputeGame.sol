// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Convictions} from "./dispute/Convictions.sol";
import {Disputes} from "./dispute/Disputes.sol";
import {Equivocations} from "./dispute/Equivocations.sol";
import {IInferenceOracle} from "./interfaces/IInferenceOracle.sol";
import {IModelRegistry} from "./interfaces/IModelRegistry.sol";
import {IOperatorRegistry} from "./interfaces/IOperatorRegistry.sol";
import {IReferee} from "./interfaces/IReferee.sol";
import {ISignedResults} from "./interfaces/ISignedResults.sol";
import {ITraceVerifier} from "./interfaces/ITraceVerifier.sol";
import {DisputeParameters} from "./types/Parameters.sol";

/// @title DisputeGame
contract DisputeGame is Equivocations, Disputes {
    constructor(
        IInferenceOracle oracle,
        IOperatorRegistry operatorRegistry,
        IModelRegistry modelRegistry,
        ISignedResults signedResults,
        IReferee referee,
        ITraceVerifier traceVerifier,
        DisputeParameters memory parameters
    )
        Convictions(oracle, operatorRegistry, modelRegistry, signedResults)
        Disputes(referee, traceVerifier, parameters)
    {}
}
