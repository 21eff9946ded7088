// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IInferenceConsumer} from "../interfaces/IInferenceConsumer.sol";
import {IInferenceOracle} from "../interfaces/IInferenceOracle.sol";
import {FailureCode} from "../types/Failure.sol";
import {RequestId, ResultId} from "../types/Ids.sol";
import {RequestParams} from "../types/Request.sol";

/// @title InferenceConsumer
/// @notice Inherit this, call `_requestInference`, and act in `_onResult`.
/// @dev The request's `salt` comes back with every callback: put there what the request is for (a loan id, a user), and
/// nothing has to be stored. Two requests that are equal in every field, salt included, are refused.
/// @dev Warning: a callback that reverts or runs out of its gas is not lost: anyone can retry it, later and with more gas.
/// Write `_onResult` so that it is correct whenever it runs.
abstract contract InferenceConsumer is IInferenceConsumer {
    /// @notice Thrown when anyone but the oracle calls a callback.
    error CallerNotOracle(address caller);

    /// @notice The oracle that this consumer asks, and the only one that it believes.
    IInferenceOracle public immutable ORACLE;

    modifier onlyOracle() {
        if (msg.sender != address(ORACLE)) revert CallerNotOracle(msg.sender);
        _;
    }

    constructor(IInferenceOracle oracle) {
        ORACLE = oracle;
    }

    /// @inheritdoc IInferenceConsumer
    function onInferenceResult(
        RequestId requestId,
        bytes32 salt,
        ResultId resultId,
        uint8 round,
        bool isFinal,
        bytes calldata output
    ) external onlyOracle {
        if (isFinal) _onResult(requestId, salt, output);
        else _onProvisionalResult(requestId, salt, resultId, round, output);
    }

    /// @inheritdoc IInferenceConsumer
    function onInferenceRefuted(RequestId requestId, bytes32 salt, uint8 round, bool reopened) external onlyOracle {
        _onRefuted(requestId, salt, round, reopened);
    }

    /// @inheritdoc IInferenceConsumer
    function onInferenceFailed(RequestId requestId, bytes32 salt, FailureCode code) external onlyOracle {
        _onFailed(requestId, salt, code);
    }

    /// @dev Asks for an inference and pays `feeWei` from this contract's balance.
    function _requestInference(RequestParams memory params, bytes memory input, uint256 feeWei)
        internal
        returns (RequestId)
    {
        return ORACLE.request{value: feeWei}(params, input);
    }

    /// @dev A result is final. Read `output` with `Tensors`.
    function _onResult(RequestId requestId, bytes32 salt, bytes calldata output) internal virtual;

    /// @dev A result is in its challenge window and may still be refuted; only with assurance `Provisional`.
    function _onProvisionalResult(
        RequestId requestId,
        bytes32 salt,
        ResultId resultId,
        uint8 round,
        bytes calldata output
    ) internal virtual {}

    /// @dev A provisional result was false, or the named operator was convicted: undo what was built on it.
    function _onRefuted(RequestId requestId, bytes32 salt, uint8 round, bool reopened) internal virtual {}

    /// @dev The operator refused to answer; the fee is refunded to `refundTo`.
    function _onFailed(RequestId requestId, bytes32 salt, FailureCode code) internal virtual {}
}
