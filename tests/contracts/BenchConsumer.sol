// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {InferenceConsumer} from "../../contracts/consumer/InferenceConsumer.sol";
import {IInferenceOracle} from "../../contracts/interfaces/IInferenceOracle.sol";
import {ISignedResults} from "../../contracts/interfaces/ISignedResults.sol";
import {ModelId, RequestId} from "../../contracts/types/Ids.sol";
import {Assurance, RequestParams} from "../../contracts/types/Request.sol";
import {Result} from "../../contracts/types/Result.sol";

/// @title The least that a consumer does: asks with fixed terms, and keeps one word of the latest answer.
contract BenchConsumer is InferenceConsumer {
    ModelId public immutable MODEL_ID;
    address public immutable OPERATOR;

    // First word of the latest output's elements.
    bytes32 public latest = bytes32(uint256(1));

    constructor(IInferenceOracle oracle, ModelId modelId, address operator) InferenceConsumer(oracle) {
        MODEL_ID = modelId;
        OPERATOR = operator;
    }

    function ask(bytes32 inputRoot, uint40 deadline, bytes32 salt, bytes calldata input) external payable {
        RequestParams memory params = RequestParams({
            modelId: MODEL_ID,
            inputRoot: inputRoot,
            operator: OPERATOR,
            refundTo: msg.sender,
            valueAtRiskWei: 0.05 ether,
            callbackGas: 100_000,
            windowSeconds: 600,
            deadline: deadline,
            assurance: Assurance.Final,
            salt: salt
        });
        _requestInference(params, input, msg.value);
    }

    function useResult(
        ISignedResults signedResults,
        Result calldata result,
        bytes calldata output,
        bytes calldata signature
    ) external {
        signedResults.use(result, output, signature, 0.05 ether, msg.sender);
        latest = bytes32(output[7:]);
    }

    function _onResult(RequestId, bytes32, bytes calldata output) internal override {
        latest = bytes32(output[7:]);
    }
}
