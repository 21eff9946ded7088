// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {ModelId, RequestId, ResultId} from "../types/Ids.sol";
import {Result} from "../types/Result.sol";

/// @title Off-chain results, used inside a consumer's own transaction with a bond locked behind them.
interface ISignedResults {
    /// @notice Thrown when a result that answers an on-chain request is used here.
    error ResultNotOffchain(RequestId requestId);
    /// @notice Thrown when a result has expired or expires later than any signer may promise.
    error ExpiryOutOfRange(uint256 expiry, uint256 earliest, uint256 latest);
    /// @notice Thrown when the model is unregistered, or its profile allows no fault proof.
    error ProfileNotProvable(ModelId modelId);
    /// @notice Thrown when the output is not the one that was signed.
    error OutputMismatch(bytes32 outputRoot, bytes32 signedRoot);
    /// @notice Thrown when a `Bounded` model's result has no trace root.
    error ResultTraceMissing(ModelId modelId);
    /// @notice Thrown when a result has been refuted.
    error ResultConvicted(ResultId resultId);
    /// @notice Thrown when a bond is released while the result is under challenge.
    error ResultUnderDispute(ResultId resultId);
    /// @notice Thrown when a signer's authority does not reach the result's expiry.
    error ResultSignerInvalid(address operator, address signer, uint256 notAfter);
    /// @notice Thrown when the address to compensate is zero.
    error CompensationAddressInvalid();
    /// @notice Thrown when the uses of one result would lock more than the operator offers to risk on one.
    error ResultExhausted(ResultId resultId, uint256 lockedWei, uint256 maximumWei);
    /// @notice Thrown when there is no such use.
    error UseMissing(ResultId resultId, address consumer);
    /// @notice Thrown when a bond is released while the result can still be refuted.
    error UseNotReleased(uint256 releaseAt, uint256 timestamp);
    /// @notice Thrown when the caller is not the dispute game.
    error UseCallerInvalid(address caller);

    /// @notice Emitted when a consumer uses an off-chain result.
    /// @param resultId EIP-712 digest of the result.
    /// @param operator Who swears to it.
    /// @param consumer Who used it.
    /// @param compensateTo Who is compensated if it is refuted.
    /// @param bondWei Bond locked by this use.
    /// @param releaseAt When the bond may be freed.
    event ResultUsed(
        ResultId indexed resultId,
        address indexed operator,
        address indexed consumer,
        address compensateTo,
        uint256 bondWei,
        uint256 releaseAt
    );
    /// @notice Emitted when the bond behind a use is freed.
    /// @param resultId The result.
    /// @param consumer Who used it.
    /// @param bondWei The bond.
    event UseReleased(ResultId indexed resultId, address indexed consumer, uint256 bondWei);
    /// @notice Emitted when the bond behind a use of a refuted result is taken.
    /// @param resultId The result.
    /// @param consumer Who used it.
    /// @param bondWei The bond.
    event UseSlashed(ResultId indexed resultId, address indexed consumer, uint256 bondWei);

    /// @notice Checks an off-chain result and locks a bond behind it until its expiry + `TAIL`. All uses of one result
    /// together may lock what the operator's offer for the model allows; then ask for another result.
    /// @param result The result.
    /// @param output Payload of its output tensors.
    /// @param signature The operator's signature.
    /// @param valueAtRiskWei What the caller stands to lose if the result is false.
    /// @param compensateTo Who is compensated then.
    /// @return resultId EIP-712 digest of the result.
    function use(
        Result calldata result,
        bytes calldata output,
        bytes calldata signature,
        uint256 valueAtRiskWei,
        address compensateTo
    ) external returns (ResultId resultId);

    /// @notice Frees the bond behind a use that can no longer be refuted. Anyone may.
    /// @param resultId The result.
    /// @param consumer Who used it.
    function release(ResultId resultId, address consumer) external;

    /// @notice Closes a use whose bond is being slashed. Only for the dispute game.
    /// @param resultId The result.
    /// @param consumer Who used it.
    /// @return operator Whose bond.
    /// @return compensateTo Who is to be compensated.
    /// @return bondWei The bond.
    function closeSlashed(ResultId resultId, address consumer)
        external
        returns (address operator, address compensateTo, uint256 bondWei);

    /// @notice Checks an off-chain result without locking anything.
    /// @dev Warning: nothing stands behind the answer; for displays and dry runs only.
    /// @param result The result.
    /// @param output Payload of its output tensors.
    /// @param signature The operator's signature.
    /// @return resultId EIP-712 digest of the result.
    function checkUncollateralised(Result calldata result, bytes calldata output, bytes calldata signature)
        external
        view
        returns (ResultId resultId);

    /// @notice The use of a result by a consumer; all zero when there is none.
    /// @param resultId The result.
    /// @param consumer Who used it.
    function useOf(ResultId resultId, address consumer)
        external
        view
        returns (address operator, address compensateTo, uint256 bondWei, uint256 releaseAt);
}
