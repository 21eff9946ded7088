// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IDisputeGame} from "../interfaces/IDisputeGame.sol";
import {ResultId} from "../types/Ids.sol";
import {Profile} from "../types/Model.sol";
import {Request} from "../types/Request.sol";
import {Result, Statement} from "../types/Result.sol";
import {Convictions} from "./Convictions.sol";

/// @title Two oaths that contradict each other.
abstract contract Equivocations is Convictions {
    /* EQUIVOCATION */

    /// @inheritdoc IDisputeGame
    function proveEquivocation(
        Statement calldata first,
        Request calldata firstRequest,
        Statement calldata second,
        Request calldata secondRequest
    ) external nonReentrant {
        address operator = first.result.operator;
        if (operator != second.result.operator) revert OperatorsDiffer(operator, second.result.operator);
        if (!_contradict(first.result, second.result)) revert NotEquivocation();
        ResultId firstId = _authenticate(first.result, firstRequest, first.signature);
        ResultId secondId = _authenticate(second.result, secondRequest, second.signature);

        // INVARIANT: proposals are refuted before anything else is slashed, so that the bond behind a false answer pays
        // first, and an operator cannot spend its stake on a lesser conviction to keep a proposed answer alive.
        uint256 slashedWei = _refute(first.result, firstRequest, firstId);
        slashedWei += _refute(second.result, secondRequest, secondId);
        // INVARIANT: every statement pays for itself, whatever it is shown together with.
        (bool firstNew, uint256 firstWei) = _convictAndShare(first.result, firstRequest, firstId);
        (bool secondNew, uint256 secondWei) = _convictAndShare(second.result, secondRequest, secondId);
        slashedWei += firstWei + secondWei;
        if (slashedWei == 0 && !firstNew && !secondNew) revert AlreadyConvicted(operator);

        emit EquivocationProven(operator, msg.sender, firstId, secondId, slashedWei);
    }

    /// @inheritdoc IDisputeGame
    function slashUse(ResultId resultId, address consumer) external nonReentrant {
        address prover = _convictedBy[resultId];
        if (prover == address(0)) revert ResultNotConvicted(resultId);
        _requireSettled(resultId);

        (address operator, address victim, uint256 bondWei) = SIGNED_RESULTS.closeSlashed(resultId, consumer);
        uint256 slashedWei = OPERATOR_REGISTRY.slash(operator, bondWei, true);
        _share(resultId, operator, prover, victim, slashedWei);
    }

    /// @inheritdoc IDisputeGame
    function collect(Result calldata result) external nonReentrant {
        ResultId resultId = ORACLE.digestOf(result);
        address prover = _convictedBy[resultId];
        if (prover == address(0)) revert ResultNotConvicted(resultId);
        _requireSettled(resultId);

        uint256 slashedWei = _charge(result, resultId, ORACLE.bondFor(0));
        if (slashedWei == 0) revert AlreadyConvicted(result.operator);
        _share(resultId, result.operator, prover, address(0), slashedWei);
    }

    /* INTERNAL */

    /// @dev Two outputs for one request (exact, signed), or for one input of one exact model. Another expiry or trace
    /// root alone is no contradiction.
    function _contradict(Result calldata first, Result calldata second) private view returns (bool) {
        if (first.outputRoot == second.outputRoot || first.modelId != second.modelId) return false;
        if (first.inputRoot != second.inputRoot) return false;
        Profile profile = MODEL_REGISTRY.profileOf(first.modelId);
        if (profile == Profile.Exact) return true;
        bool sameRequest = first.requestId == second.requestId && !_isOffchain(first);
        return profile == Profile.Signed && sameRequest;
    }

    function _refute(Result calldata result, Request calldata request, ResultId resultId)
        private
        returns (uint256 slashedWei)
    {
        (, slashedWei) = _slashProposed(result, request, resultId);
        _closeDispute(resultId);
        _share(resultId, result.operator, msg.sender, _victimOf(result, request), slashedWei);
    }

    function _convictAndShare(Result calldata result, Request calldata request, ResultId resultId)
        private
        returns (bool isNew, uint256 slashedWei)
    {
        (isNew, slashedWei) = _convict(result, request, resultId, msg.sender);
        _share(resultId, result.operator, msg.sender, _victimOf(result, request), slashedWei);
    }
}
