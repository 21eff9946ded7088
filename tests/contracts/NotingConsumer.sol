// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {InferenceConsumer} from "../../contracts/consumer/InferenceConsumer.sol";
import {IInferenceOracle} from "../../contracts/interfaces/IInferenceOracle.sol";
import {FailureCode} from "../../contracts/types/Failure.sol";
import {RequestId, ResultId} from "../../contracts/types/Ids.sol";
import {RequestParams} from "../../contracts/types/Request.sol";

/// @title A consumer as a dapp would write it, which tells by events what reached its hooks.
contract NotingConsumer is InferenceConsumer {
    event ResultNoted(RequestId requestId, bytes32 salt, bytes output);
    event ProvisionalNoted(RequestId requestId, bytes32 salt, ResultId resultId, uint8 round, bytes output);
    event RefutationNoted(RequestId requestId, bytes32 salt, uint8 round, bool reopened);
    event FailureNoted(RequestId requestId, bytes32 salt, FailureCode code);

    constructor(IInferenceOracle oracle) InferenceConsumer(oracle) {}

    function ask(RequestParams calldata params, bytes calldata input) external payable returns (RequestId) {
        return _requestInference(params, input, msg.value);
    }

    function _onResult(RequestId requestId, bytes32 salt, bytes calldata output) internal override {
        emit ResultNoted(requestId, salt, output);
    }

    function _onProvisionalResult(
        RequestId requestId,
        bytes32 salt,
        ResultId resultId,
        uint8 round,
        bytes calldata output
    ) internal override {
        emit ProvisionalNoted(requestId, salt, resultId, round, output);
    }

    function _onRefuted(RequestId requestId, bytes32 salt, uint8 round, bool reopened) internal override {
        emit RefutationNoted(requestId, salt, round, reopened);
    }

    function _onFailed(RequestId requestId, bytes32 salt, FailureCode code) internal override {
        emit FailureNoted(requestId, salt, code);
    }
}

/// @title A consumer that cares for final results only.
contract PlainConsumer is InferenceConsumer {
    event ResultNoted(RequestId requestId, bytes32 salt, bytes output);

    constructor(IInferenceOracle oracle) InferenceConsumer(oracle) {}

    function ask(RequestParams calldata params, bytes calldata input) external payable returns (RequestId) {
        return _requestInference(params, input, msg.value);
    }

    function _onResult(RequestId requestId, bytes32 salt, bytes calldata output) internal override {
        emit ResultNoted(requestId, salt, output);
    }
}
