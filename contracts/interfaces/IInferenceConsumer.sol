// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {RequestId, ResultId} from "../types/Ids.sol";
import {FailureCode} from "../types/Failure.sol";

/// @title What the oracle calls on the contract that requested.
/// @dev Every call carries the request's `salt`, which the consumer chose: use it to find what the request was for
/// without storing anything. Only ever trust these calls when `msg.sender` is the oracle.
interface IInferenceConsumer {
    /// @notice A result has been proposed (`isFinal` false, assurance `Provisional` only) or has become final.
    /// @param requestId Id of the request.
    /// @param salt The request's salt.
    /// @param resultId EIP-712 digest of the result.
    /// @param round Number of refuted results before this one.
    /// @param isFinal Whether the result can no longer be refuted.
    /// @param output Payload of the output tensors.
    function onInferenceResult(
        RequestId requestId,
        bytes32 salt,
        ResultId resultId,
        uint8 round,
        bool isFinal,
        bytes calldata output
    ) external;

    /// @notice A provisional result has been refuted, or the named operator has been convicted.
    /// @param requestId Id of the request.
    /// @param salt The request's salt.
    /// @param round Number of refuted results, this one included; 0 when the named operator was convicted before any.
    /// @param reopened Whether another result may still come; if not, the fee has been refunded.
    function onInferenceRefuted(RequestId requestId, bytes32 salt, uint8 round, bool reopened) external;

    /// @notice The named operator has signed a failure; the fee has been refunded.
    /// @param requestId Id of the request.
    /// @param salt The request's salt.
    /// @param code Why.
    function onInferenceFailed(RequestId requestId, bytes32 salt, FailureCode code) external;
}
