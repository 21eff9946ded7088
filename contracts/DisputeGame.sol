// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {IDisputeGame} from "./interfaces/IDisputeGame.sol";
import {IInferenceOracle} from "./interfaces/IInferenceOracle.sol";
import {IModelRegistry} from "./interfaces/IModelRegistry.sol";
import {IOperatorRegistry} from "./interfaces/IOperatorRegistry.sol";
import {ISignedResults} from "./interfaces/ISignedResults.sol";
import {BoundedCall} from "./libraries/BoundedCall.sol";
import {Bond} from "./types/Bond.sol";
import {RequestId, ResultId} from "./types/Ids.sol";
import {Profile} from "./types/Model.sol";
import {Request} from "./types/Request.sol";
import {Status} from "./types/RequestState.sol";
import {Result, Statement} from "./types/Result.sol";

/// @title DisputeGame
contract DisputeGame is IDisputeGame, ReentrancyGuardTransient {
    // Nobody holds its key.
    address private constant BURN_ADDRESS = 0x000000000000000000000000000000000000dEaD;

    IInferenceOracle public immutable ORACLE;
    IOperatorRegistry public immutable OPERATOR_REGISTRY;
    IModelRegistry public immutable MODEL_REGISTRY;
    ISignedResults public immutable SIGNED_RESULTS;

    // Off-chain results proven false, by whom.
    mapping(ResultId resultId => address prover) private _convictedBy;
    // Stake taken so far for each charge, see `_chargeOf`.
    mapping(bytes32 charge => uint256 amountWei) private _paidWei;
    mapping(address account => uint256 amountWei) private _rewards;

    constructor(
        IInferenceOracle oracle,
        IOperatorRegistry operatorRegistry,
        IModelRegistry modelRegistry,
        ISignedResults signedResults
    ) {
        ORACLE = oracle;
        OPERATOR_REGISTRY = operatorRegistry;
        MODEL_REGISTRY = modelRegistry;
        SIGNED_RESULTS = signedResults;
    }

    /// @dev Slashed stake arrives here, and nothing else.
    receive() external payable {
        if (msg.sender != address(OPERATOR_REGISTRY)) revert PaymentUnexpected(msg.sender);
    }

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
        ResultId firstId = _authenticate(first, firstRequest);
        ResultId secondId = _authenticate(second, secondRequest);

        // INVARIANT: proposals are refuted before anything else is slashed, so that the bond behind a false answer pays
        // first, and an operator cannot spend its stake on a lesser conviction to keep a proposed answer alive.
        uint256 slashedWei = _refute(first.result, firstRequest, firstId);
        slashedWei += _refute(second.result, secondRequest, secondId);
        // INVARIANT: every statement pays for itself, whatever it is shown together with.
        (bool firstNew, uint256 firstWei) = _convict(first.result, firstRequest, firstId);
        (bool secondNew, uint256 secondWei) = _convict(second.result, secondRequest, secondId);
        slashedWei += firstWei + secondWei;
        if (slashedWei == 0 && !firstNew && !secondNew) revert AlreadyConvicted(operator);

        emit EquivocationProven(operator, msg.sender, firstId, secondId, slashedWei);
    }

    /// @inheritdoc IDisputeGame
    function slashUse(ResultId resultId, address consumer) external nonReentrant {
        address prover = _convictedBy[resultId];
        if (prover == address(0)) revert ResultNotConvicted(resultId);

        (address operator, address victim, uint256 bondWei) = SIGNED_RESULTS.closeSlashed(resultId, consumer);
        uint256 slashedWei = OPERATOR_REGISTRY.slash(operator, bondWei, true);
        _share(operator, prover, victim, slashedWei);
    }

    /* PAYMENTS */

    /// @inheritdoc IDisputeGame
    function withdraw() external {
        withdrawFor(payable(msg.sender));
    }

    /// @inheritdoc IDisputeGame
    function withdrawFor(address payable account) public nonReentrant {
        uint256 amountWei = _rewards[account];
        if (amountWei == 0) revert RewardMissing(account);

        _rewards[account] = 0;

        emit RewardWithdrawn(account, amountWei);

        if (!BoundedCall.trySend(account, amountWei)) revert RewardTransferFailed(account, amountWei);
    }

    /* VIEWS */

    /// @inheritdoc IDisputeGame
    function convictedBy(ResultId resultId) external view returns (address) {
        return _convictedBy[resultId];
    }

    /// @inheritdoc IDisputeGame
    function rewardOf(address account) external view returns (uint256) {
        return _rewards[account];
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

    /// @dev The result belongs to its request, which was really made, and an authorised signer swore to it.
    function _authenticate(Statement calldata statement, Request calldata request)
        private
        view
        returns (ResultId resultId)
    {
        Result calldata result = statement.result;
        if (!_isOffchain(result)) {
            bool belongs = request.id(address(ORACLE)) == result.requestId && request.modelId == result.modelId
                && request.inputRoot == result.inputRoot;
            if (!belongs) revert StatementMismatch(result.requestId);
            // INVARIANT: nobody is convicted over, or compensated for, a request that was never made.
            if (ORACLE.stateOf(result.requestId).status == Status.None) revert RequestNotMade(result.requestId);
        }
        resultId = ORACLE.digestOf(result);
        address signer = ECDSA.recoverCalldata(ResultId.unwrap(resultId), statement.signature);
        uint256 notAfter = OPERATOR_REGISTRY.signerNotAfter(result.operator, signer);
        if (notAfter == 0 || result.expiry > notAfter) {
            revert IOperatorRegistry.SignerNotAuthorized(result.operator, signer, result.expiry, notAfter);
        }
    }

    /// @dev If the result is the one proposed for its request: undoes it and slashes the bond behind it.
    function _refute(Result calldata result, Request calldata request, ResultId resultId)
        private
        returns (uint256 slashedWei)
    {
        if (_isOffchain(result) || !ORACLE.refute(request, result.operator, resultId)) return 0;
        slashedWei = OPERATOR_REGISTRY.slash(result.operator, ORACLE.bondFor(request.valueAtRiskWei), true);
        _paidWei[_chargeOf(result, resultId)] = slashedWei;
        _share(result.operator, msg.sender, request.refundTo, slashedWei);
    }

    /// @dev Bars the operator from the request, or opens the uses of an off-chain result to slashing; then takes from its
    /// stake what the charge has not been paid yet, as no bond stands behind the statement any more, or yet.
    function _convict(Result calldata result, Request calldata request, ResultId resultId)
        private
        returns (bool isNew, uint256 slashedWei)
    {
        bool offchain = _isOffchain(result);
        if (!offchain) {
            isNew = ORACLE.bar(request, result.operator);
        } else if (_convictedBy[resultId] == address(0)) {
            _convictedBy[resultId] = msg.sender;
            isNew = true;
        }
        bytes32 charge = _chargeOf(result, resultId);
        uint256 paidWei = _paidWei[charge];
        uint256 chargeWei = ORACLE.bondFor(offchain ? 0 : request.valueAtRiskWei);
        if (paidWei >= chargeWei) return (isNew, 0);

        // INVARIANT: stake that is out of reach now answers later: the same proof collects the rest.
        slashedWei = OPERATOR_REGISTRY.slash(result.operator, chargeWei - paidWei, false);
        _paidWei[charge] = paidWei + slashedWei;
        _share(result.operator, msg.sender, offchain ? address(0) : request.refundTo, slashedWei);
    }

    /// @dev What is paid for once: an operator's lie about one request, or one off-chain result.
    function _chargeOf(Result calldata result, ResultId resultId) private pure returns (bytes32) {
        if (_isOffchain(result)) return ResultId.unwrap(resultId);
        return keccak256(abi.encode(result.requestId, result.operator));
    }

    function _share(address operator, address prover, address victim, uint256 slashedWei) private {
        if (slashedWei == 0) return;
        (uint256 rewardWei, uint256 compensationWei) = Bond.split(slashedWei);
        if (victim == address(0)) compensationWei = 0;
        uint256 burntWei = slashedWei - rewardWei - compensationWei;
        _rewards[prover] += rewardWei;
        if (compensationWei != 0) _rewards[victim] += compensationWei;

        emit SlashShared(operator, prover, victim, rewardWei, compensationWei, burntWei);

        // SAFETY: an address without code accepts ether; ether that it would not take stays here, out of reach.
        BoundedCall.trySend(BURN_ADDRESS, burntWei);
    }

    function _isOffchain(Result calldata result) private pure returns (bool) {
        return RequestId.unwrap(result.requestId) == 0;
    }
}
