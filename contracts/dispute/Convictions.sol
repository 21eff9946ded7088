// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {IDisputeGame} from "../interfaces/IDisputeGame.sol";
import {IInferenceOracle} from "../interfaces/IInferenceOracle.sol";
import {IModelRegistry} from "../interfaces/IModelRegistry.sol";
import {IOperatorRegistry} from "../interfaces/IOperatorRegistry.sol";
import {ISignedResults} from "../interfaces/ISignedResults.sol";
import {BoundedCall} from "../libraries/BoundedCall.sol";
import {Bond} from "../types/Bond.sol";
import {RequestId, ResultId} from "../types/Ids.sol";
import {Request} from "../types/Request.sol";
import {Status} from "../types/RequestState.sol";
import {Result} from "../types/Result.sol";

/// @title Who swore what, what it costs them, and who is paid for showing it.
abstract contract Convictions is IDisputeGame, ReentrancyGuardTransient {
    // Nobody holds its key.
    address private constant BURN_ADDRESS = 0x000000000000000000000000000000000000dEaD;

    IInferenceOracle public immutable ORACLE;
    IOperatorRegistry public immutable OPERATOR_REGISTRY;
    IModelRegistry public immutable MODEL_REGISTRY;
    ISignedResults public immutable SIGNED_RESULTS;

    // Off-chain results proven false, by whom.
    mapping(ResultId resultId => address prover) internal _convictedBy;
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

    /// @dev Slashed stake arrives here; what challengers post comes with their calls.
    receive() external payable {
        if (msg.sender != address(OPERATOR_REGISTRY)) revert PaymentUnexpected(msg.sender);
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

    /// @inheritdoc IDisputeGame
    function rewardOf(address account) external view returns (uint256) {
        return _rewards[account];
    }

    /// @inheritdoc IDisputeGame
    function convictedBy(ResultId resultId) external view returns (address) {
        return _convictedBy[resultId];
    }

    /// @inheritdoc IDisputeGame
    function isOpen(ResultId resultId) external view returns (bool) {
        return _isOpen(resultId);
    }

    /* INTERNAL */

    /// @dev Whether the result is under challenge.
    function _isOpen(ResultId resultId) internal view virtual returns (bool);

    /// @dev The result has been convicted, whatever else was going on about it.
    function _closeDispute(ResultId resultId) internal virtual;

    /// @dev Credits a prover its reward, or keeps it while another may still take the prover's place.
    function _reward(ResultId resultId, address prover, uint256 rewardWei) internal virtual;

    /// @dev Reverts while another may still take the prover's place.
    function _requireSettled(ResultId resultId) internal view virtual;

    /// @dev The result belongs to its request, which was really made, and an authorised signer swore to it.
    function _authenticate(Result memory result, Request calldata request, bytes calldata signature)
        internal
        view
        returns (ResultId resultId)
    {
        if (!_isOffchain(result)) {
            _requireRequestOf(result, request);
            // INVARIANT: nobody is convicted over, or compensated for, a request that was never made.
            if (ORACLE.stateOf(result.requestId).status == Status.None) revert RequestNotMade(result.requestId);
        }
        return _requireSigned(result, signature);
    }

    /// @dev The result answers this very request.
    function _requireRequestOf(Result memory result, Request calldata request) internal view {
        bool belongs = request.id(address(ORACLE)) == result.requestId && request.modelId == result.modelId
            && request.inputRoot == result.inputRoot;
        if (!belongs) revert StatementMismatch(result.requestId);
    }

    /// @dev An authorised signer swore to the result.
    function _requireSigned(Result memory result, bytes calldata signature) internal view returns (ResultId resultId) {
        resultId = ORACLE.digestOf(result);
        address signer = ECDSA.recoverCalldata(ResultId.unwrap(resultId), signature);
        uint256 notAfter = OPERATOR_REGISTRY.signerNotAfter(result.operator, signer);
        if (notAfter == 0 || result.expiry > notAfter) {
            revert IOperatorRegistry.SignerNotAuthorized(result.operator, signer, result.expiry, notAfter);
        }
    }

    /// @dev If the result is the one proposed for its request: undoes it and slashes the bond behind it.
    function _slashProposed(Result calldata result, Request calldata request, ResultId resultId)
        internal
        returns (bool refuted, uint256 slashedWei)
    {
        if (_isOffchain(result) || !ORACLE.refute(request, result.operator, resultId)) return (false, 0);
        slashedWei = OPERATOR_REGISTRY.slash(result.operator, ORACLE.bondFor(request.valueAtRiskWei), true);
        _paidWei[_chargeOf(result, resultId)] = slashedWei;
        return (true, slashedWei);
    }

    /// @dev Bars the operator from the request, or opens the uses of an off-chain result to slashing; then takes from its
    /// stake what the charge has not been paid yet, as no bond stands behind the statement any more, or yet.
    function _convict(Result calldata result, Request calldata request, ResultId resultId, address prover)
        internal
        returns (bool isNew, uint256 slashedWei)
    {
        bool offchain = _isOffchain(result);
        if (!offchain) {
            isNew = ORACLE.bar(request, result.operator);
        } else if (_convictedBy[resultId] == address(0)) {
            _convictedBy[resultId] = prover;
            isNew = true;
        }
        slashedWei = _charge(result, resultId, ORACLE.bondFor(offchain ? 0 : request.valueAtRiskWei));
    }

    /// @dev Takes from an operator's stake what it has not paid yet for a statement.
    function _charge(Result calldata result, ResultId resultId, uint256 chargeWei)
        internal
        returns (uint256 slashedWei)
    {
        bytes32 charge = _chargeOf(result, resultId);
        uint256 paidWei = _paidWei[charge];
        if (paidWei >= chargeWei) return 0;

        // INVARIANT: stake that is out of reach now answers later: the rest can be collected then.
        slashedWei = OPERATOR_REGISTRY.slash(result.operator, chargeWei - paidWei, false);
        _paidWei[charge] = paidWei + slashedWei;
    }

    /// @dev Splits slashed stake: compensation and burning at once, the reward to the prover.
    function _share(ResultId resultId, address operator, address prover, address victim, uint256 slashedWei) internal {
        uint256 rewardWei = _settleSlash(operator, prover, victim, slashedWei);
        if (rewardWei != 0) _reward(resultId, prover, rewardWei);
    }

    /// @dev Splits slashed stake: compensates the victim, burns; what is left is the reward, which the caller hands out.
    function _settleSlash(address operator, address prover, address victim, uint256 slashedWei)
        internal
        returns (uint256 rewardWei)
    {
        if (slashedWei == 0) return 0;
        uint256 compensationWei;
        (rewardWei, compensationWei) = Bond.split(slashedWei);
        if (victim == address(0)) compensationWei = 0;
        uint256 burntWei = slashedWei - rewardWei - compensationWei;
        if (compensationWei != 0) _credit(victim, compensationWei);

        emit SlashShared(operator, prover, victim, rewardWei, compensationWei, burntWei);

        _burn(burntWei);
    }

    function _credit(address account, uint256 amountWei) internal {
        _rewards[account] += amountWei;
    }

    /// @dev SAFETY: an address without code accepts ether; ether that it would not take stays here, out of reach.
    function _burn(uint256 amountWei) internal {
        BoundedCall.trySend(BURN_ADDRESS, amountWei);
    }

    /// @dev Who is compensated for a false result; zero = nobody.
    function _victimOf(Result calldata result, Request calldata request) internal pure returns (address) {
        return _isOffchain(result) ? address(0) : request.refundTo;
    }

    function _isOffchain(Result memory result) internal pure returns (bool) {
        return RequestId.unwrap(result.requestId) == 0;
    }

    /// @dev What is paid for once: an operator's lie about one request, or one off-chain result.
    function _chargeOf(Result calldata result, ResultId resultId) private pure returns (bytes32) {
        if (_isOffchain(result)) return ResultId.unwrap(resultId);
        return keccak256(abi.encode(result.requestId, result.operator));
    }
}
