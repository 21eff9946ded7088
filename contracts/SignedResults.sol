// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

import {IDisputeGame} from "./interfaces/IDisputeGame.sol";
import {IInferenceOracle} from "./interfaces/IInferenceOracle.sol";
import {IModelRegistry} from "./interfaces/IModelRegistry.sol";
import {IOperatorRegistry} from "./interfaces/IOperatorRegistry.sol";
import {ISignedResults} from "./interfaces/ISignedResults.sol";
import {RequestId, ResultId} from "./types/Ids.sol";
import {Profile} from "./types/Model.sol";
import {Parameters} from "./types/Parameters.sol";
import {Result} from "./types/Result.sol";
import {TensorPayload} from "./types/TensorPayload.sol";

/// @title SignedResults
contract SignedResults is ISignedResults {
    /// @dev Two slots per use: | 96 bondWei | 160 operator | and | 40 releaseAt | 160 compensateTo |.
    struct Use {
        address operator;
        uint96 bondWei;
        address compensateTo;
        uint40 releaseAt;
    }

    IInferenceOracle public immutable ORACLE;
    IOperatorRegistry public immutable OPERATOR_REGISTRY;
    IModelRegistry public immutable MODEL_REGISTRY;
    IDisputeGame public immutable DISPUTE_GAME;
    uint256 public immutable MAX_LIFETIME_SECONDS;
    uint256 public immutable TAIL_SECONDS;

    mapping(ResultId resultId => mapping(address consumer => Use)) private _uses;
    mapping(ResultId resultId => uint256 bondWei) private _lockedBehind;

    constructor(
        IInferenceOracle oracle,
        IOperatorRegistry operatorRegistry,
        IModelRegistry modelRegistry,
        IDisputeGame disputeGame,
        Parameters memory parameters
    ) {
        ORACLE = oracle;
        OPERATOR_REGISTRY = operatorRegistry;
        MODEL_REGISTRY = modelRegistry;
        DISPUTE_GAME = disputeGame;
        MAX_LIFETIME_SECONDS = parameters.maxLifetimeSeconds;
        TAIL_SECONDS = parameters.tailSeconds;
    }

    /// @inheritdoc ISignedResults
    function use(
        Result calldata result,
        bytes calldata output,
        bytes calldata signature,
        uint256 valueAtRiskWei,
        address compensateTo
    ) external returns (ResultId resultId) {
        if (compensateTo == address(0)) revert CompensationAddressInvalid();
        address signer;
        (resultId, signer) = _check(result, output, signature);
        uint256 bondWei = ORACLE.bondFor(valueAtRiskWei);
        uint256 releaseAt = uint256(result.expiry) + TAIL_SECONDS;

        // INVARIANT: one signature puts no more stake at risk than the operator offers for one result, however many use
        // it and whatever they claim to risk; nobody can lock up a whole stake with one result.
        uint256 lockedWei = _lockedBehind[resultId] + bondWei;
        uint256 maximumWei = _maximumBond(result);
        if (lockedWei > maximumWei) revert ResultExhausted(resultId, lockedWei, maximumWei);

        _lockedBehind[resultId] = lockedWei;
        Use storage made = _uses[resultId][msg.sender];
        made.operator = result.operator;
        // SAFETY: `lockBond` below reverts unless the sum of all bonds fits 80 bits.
        made.bondWei += uint96(bondWei);
        made.compensateTo = compensateTo;
        made.releaseAt = uint40(releaseAt);
        OPERATOR_REGISTRY.lockBond(result.operator, signer, result.expiry, result.modelId, bondWei);

        emit ResultUsed(resultId, result.operator, msg.sender, compensateTo, bondWei, releaseAt);
    }

    /// @inheritdoc ISignedResults
    function release(ResultId resultId, address consumer) external {
        Use memory made = _uses[resultId][consumer];
        if (made.operator == address(0)) revert UseMissing(resultId, consumer);
        if (block.timestamp <= made.releaseAt) revert UseNotReleased(made.releaseAt, block.timestamp);
        // INVARIANT: the bond behind a refuted result is never freed.
        if (DISPUTE_GAME.convictedBy(resultId) != address(0)) revert ResultConvicted(resultId);
        // INVARIANT: nor the bond behind one that is under challenge.
        if (DISPUTE_GAME.isOpen(resultId)) revert ResultUnderDispute(resultId);

        delete _uses[resultId][consumer];
        OPERATOR_REGISTRY.releaseBond(made.operator, made.bondWei, 0);

        emit UseReleased(resultId, consumer, made.bondWei);
    }

    /// @inheritdoc ISignedResults
    function closeSlashed(ResultId resultId, address consumer)
        external
        returns (address operator, address compensateTo, uint256 bondWei)
    {
        if (msg.sender != address(DISPUTE_GAME)) revert UseCallerInvalid(msg.sender);
        Use memory made = _uses[resultId][consumer];
        if (made.operator == address(0)) revert UseMissing(resultId, consumer);

        delete _uses[resultId][consumer];

        emit UseSlashed(resultId, consumer, made.bondWei);

        return (made.operator, made.compensateTo, made.bondWei);
    }

    /// @inheritdoc ISignedResults
    function checkUncollateralised(Result calldata result, bytes calldata output, bytes calldata signature)
        external
        view
        returns (ResultId resultId)
    {
        address signer;
        (resultId, signer) = _check(result, output, signature);
        uint256 notAfter = OPERATOR_REGISTRY.signerNotAfter(result.operator, signer);
        if (notAfter == 0 || result.expiry > notAfter) revert ResultSignerInvalid(result.operator, signer, notAfter);
    }

    /// @inheritdoc ISignedResults
    function useOf(ResultId resultId, address consumer)
        external
        view
        returns (address operator, address compensateTo, uint256 bondWei, uint256 releaseAt)
    {
        Use memory made = _uses[resultId][consumer];
        return (made.operator, made.compensateTo, made.bondWei, made.releaseAt);
    }

    function _maximumBond(Result calldata result) private view returns (uint256) {
        return ORACLE.bondFor(OPERATOR_REGISTRY.offerOf(result.operator, result.modelId).maxValueAtRiskWei);
    }

    /// @dev Everything but the signer's authority, which `lockBond` checks.
    function _check(Result calldata result, bytes calldata output, bytes calldata signature)
        private
        view
        returns (ResultId resultId, address signer)
    {
        if (RequestId.unwrap(result.requestId) != 0) revert ResultNotOffchain(result.requestId);
        uint256 latest = block.timestamp + MAX_LIFETIME_SECONDS;
        if (result.expiry < block.timestamp || result.expiry > latest) {
            revert ExpiryOutOfRange(result.expiry, block.timestamp, latest);
        }
        Profile profile = MODEL_REGISTRY.profileOf(result.modelId);
        if (profile == Profile.None || profile == Profile.Signed) revert ProfileNotProvable(result.modelId);
        if (profile == Profile.Bounded && result.traceRoot == 0) revert ResultTraceMissing(result.modelId);
        bytes32 outputRoot = TensorPayload.root(output);
        if (outputRoot != result.outputRoot) revert OutputMismatch(outputRoot, result.outputRoot);
        resultId = ORACLE.digestOf(result);
        if (DISPUTE_GAME.convictedBy(resultId) != address(0)) revert ResultConvicted(resultId);
        signer = ECDSA.recoverCalldata(ResultId.unwrap(resultId), signature);
    }
}
