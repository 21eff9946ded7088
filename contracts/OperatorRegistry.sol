// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {IInferenceOracle} from "./interfaces/IInferenceOracle.sol";
import {IOperatorRegistry} from "./interfaces/IOperatorRegistry.sol";
import {BoundedCall} from "./libraries/BoundedCall.sol";
import {ModelId} from "./types/Ids.sol";
import {Offer} from "./types/Offer.sol";
import {Parameters} from "./types/Parameters.sol";

/// @title OperatorRegistry
contract OperatorRegistry is IOperatorRegistry, ReentrancyGuardTransient {
    using SafeCast for uint256;

    /// @dev One slot, so that a proposal and a finalization write one word each. `lockedWei` includes unbonding stake:
    /// what is free is `stakeWei - lockedWei`. 80 bits hold 1.2 million ether.
    ///
    ///   | 80 earnedWei | 80 lockedWei | 80 stakeWei | 8 leaving | 8 registered |
    struct Account {
        bool registered;
        bool leaving;
        uint80 stakeWei;
        uint80 lockedWei;
        uint80 earnedWei;
    }

    struct Unbonding {
        uint80 amountWei;
        uint40 releaseAt;
        // Cap on every signer while `Account.leaving`.
        uint40 notAfter;
    }

    IInferenceOracle public immutable ORACLE;
    address public immutable SIGNED_RESULTS;
    address public immutable DISPUTE_GAME;
    uint256 public immutable MAX_LIFETIME_SECONDS;
    uint256 public immutable UNBONDING_SECONDS;

    // A signer without end.
    uint40 private constant NO_END = type(uint40).max;

    mapping(address operator => Account) private _accounts;
    mapping(address operator => Unbonding) private _unbondings;
    mapping(address operator => mapping(address signer => uint40 notAfter)) private _signers;
    mapping(address operator => mapping(ModelId modelId => Offer)) private _offers;

    modifier onlyLocker() {
        if (msg.sender != address(ORACLE) && msg.sender != SIGNED_RESULTS) revert CallerNotAuthorized(msg.sender);
        _;
    }

    modifier onlyRegistered() {
        if (!_accounts[msg.sender].registered) revert OperatorNotRegistered(msg.sender);
        _;
    }

    constructor(IInferenceOracle oracle, address signedResults, address disputeGame, Parameters memory parameters) {
        ORACLE = oracle;
        SIGNED_RESULTS = signedResults;
        DISPUTE_GAME = disputeGame;
        MAX_LIFETIME_SECONDS = parameters.maxLifetimeSeconds;
        // INVARIANT: stake outlives everything that it has sworn to: no signature is usable later than one lifetime
        // from now, and none can be disputed later than the tail and the longest dispute after that.
        UNBONDING_SECONDS = uint256(parameters.maxLifetimeSeconds) + parameters.tailSeconds
            + parameters.maxWindowSeconds + parameters.maxDisputeSeconds;
    }

    /* OPERATORS */

    /// @inheritdoc IOperatorRegistry
    function register(string calldata metadataUri) external payable {
        Account storage account = _accounts[msg.sender];
        bool hasLeft = account.leaving && _unbondings[msg.sender].amountWei == 0;
        if (account.registered && !hasLeft) revert OperatorAlreadyRegistered(msg.sender);

        account.registered = true;
        account.leaving = false;
        account.stakeWei = (uint256(account.stakeWei) + msg.value).toUint80();
        delete _unbondings[msg.sender];

        emit OperatorRegistered(msg.sender, metadataUri, msg.value);
    }

    /// @inheritdoc IOperatorRegistry
    function addStake(address operator) external payable {
        Account storage account = _accounts[operator];
        if (!account.registered) revert OperatorNotRegistered(operator);
        if (msg.value == 0) revert AmountInvalid(0);

        account.stakeWei = (uint256(account.stakeWei) + msg.value).toUint80();

        emit StakeAdded(operator, msg.sender, msg.value);
    }

    /// @inheritdoc IOperatorRegistry
    function authorizeSigner(address signer) external onlyRegistered {
        if (signer == address(0)) revert SignerInvalid(signer);

        _signers[msg.sender][signer] = NO_END;

        emit SignerChanged(msg.sender, signer, NO_END);
    }

    /// @inheritdoc IOperatorRegistry
    function revokeSigner(address signer) external onlyRegistered {
        uint256 current = _signers[msg.sender][signer];
        uint256 notAfter = block.timestamp + MAX_LIFETIME_SECONDS;
        // INVARIANT: revoking never prolongs.
        if (current <= notAfter) revert SignerInvalid(signer);

        _signers[msg.sender][signer] = notAfter.toUint40();

        emit SignerChanged(msg.sender, signer, notAfter);
    }

    /// @inheritdoc IOperatorRegistry
    function setOffer(ModelId modelId, Offer calldata offer) external onlyRegistered {
        _offers[msg.sender][modelId] = offer;

        emit OfferChanged(msg.sender, modelId, offer);
    }

    /* UNBONDING */

    /// @inheritdoc IOperatorRegistry
    function unbond(uint256 amountWei) external onlyRegistered {
        Account storage account = _accounts[msg.sender];
        Unbonding storage unbonding = _unbondings[msg.sender];
        if (unbonding.amountWei != 0) revert UnbondingPending(msg.sender, unbonding.releaseAt);
        uint256 freeWei = account.stakeWei - account.lockedWei;
        if (amountWei == type(uint256).max) amountWei = freeWei;
        if (amountWei == 0) revert AmountInvalid(0);
        if (amountWei > freeWei) revert FreeStakeTooLow(msg.sender, freeWei, amountWei);

        // INVARIANT: an operator that is leaving, or has left, stays capped where it was.
        uint256 notAfter = unbonding.notAfter;
        if (!account.leaving && amountWei == account.stakeWei) {
            account.leaving = true;
            notAfter = block.timestamp + MAX_LIFETIME_SECONDS;
        }
        uint256 releaseAt = block.timestamp + UNBONDING_SECONDS;
        account.lockedWei = (uint256(account.lockedWei) + amountWei).toUint80();
        _unbondings[msg.sender] = Unbonding(amountWei.toUint80(), releaseAt.toUint40(), notAfter.toUint40());

        emit UnbondingStarted(msg.sender, amountWei, releaseAt, notAfter);
    }

    /// @inheritdoc IOperatorRegistry
    function cancelUnbonding() external {
        uint256 amountWei = _closeUnbonding(false);

        emit UnbondingCancelled(msg.sender, amountWei);
    }

    /// @inheritdoc IOperatorRegistry
    function withdrawStake(address payable to) external nonReentrant {
        uint256 releaseAt = _unbondings[msg.sender].releaseAt;
        if (block.timestamp < releaseAt) revert UnbondingNotReleased(releaseAt, block.timestamp);
        uint256 amountWei = _closeUnbonding(true);

        emit StakeWithdrawn(msg.sender, to, amountWei);

        if (!BoundedCall.trySend(to, amountWei)) revert TransferFailed(to, amountWei);
    }

    /// @inheritdoc IOperatorRegistry
    function withdrawEarnings(address payable to) external nonReentrant {
        Account storage account = _accounts[msg.sender];
        uint256 amountWei = account.earnedWei;
        if (amountWei == 0) revert EarningsMissing(msg.sender);

        account.earnedWei = 0;

        emit EarningsWithdrawn(msg.sender, to, amountWei);

        ORACLE.payEarnings(to, amountWei);
    }

    /* BONDS */

    /// @inheritdoc IOperatorRegistry
    function lockBond(address operator, address signer, uint256 expiry, ModelId offeredModel, uint256 bondWei)
        external
        onlyLocker
    {
        Account memory account = _accounts[operator];
        uint256 notAfter = _notAfter(operator, signer, account.leaving);
        // INVARIANT: a result whose expiry lies beyond its signer's notAfter is invalid everywhere.
        if (notAfter == 0 || expiry > notAfter) revert SignerNotAuthorized(operator, signer, expiry, notAfter);
        if (ModelId.unwrap(offeredModel) != 0 && !_offers[operator][offeredModel].active) {
            revert OfferMissing(operator, offeredModel);
        }
        uint256 freeWei = account.stakeWei - account.lockedWei;
        if (bondWei > freeWei) revert FreeStakeTooLow(operator, freeWei, bondWei);

        // SAFETY: at most stakeWei, which fits.
        _accounts[operator].lockedWei = uint80(account.lockedWei + bondWei);
    }

    /// @inheritdoc IOperatorRegistry
    function releaseBond(address operator, uint256 bondWei, uint256 earnedWei) external onlyLocker {
        Account storage account = _accounts[operator];
        // SAFETY: it was locked, so it fits.
        account.lockedWei -= uint80(bondWei);
        account.earnedWei = (uint256(account.earnedWei) + earnedWei).toUint80();
    }

    /// @inheritdoc IOperatorRegistry
    function slash(address operator, uint256 amountWei, bool fromBond) external returns (uint256 slashedWei) {
        if (msg.sender != DISPUTE_GAME) revert CallerNotAuthorized(msg.sender);
        slashedWei = fromBond ? _takeBond(operator, amountWei) : _takeUnbound(operator, amountWei);

        emit OperatorSlashed(operator, slashedWei, fromBond);

        if (!BoundedCall.trySend(DISPUTE_GAME, slashedWei)) revert TransferFailed(DISPUTE_GAME, slashedWei);
    }

    /* VIEWS */

    /// @inheritdoc IOperatorRegistry
    function accountOf(address operator)
        external
        view
        returns (bool registered, uint256 stakeWei, uint256 lockedWei, uint256 earnedWei)
    {
        Account memory account = _accounts[operator];
        return (account.registered, account.stakeWei, account.lockedWei, account.earnedWei);
    }

    /// @inheritdoc IOperatorRegistry
    function freeStakeOf(address operator) external view returns (uint256) {
        Account memory account = _accounts[operator];
        return account.stakeWei - account.lockedWei;
    }

    /// @inheritdoc IOperatorRegistry
    function unbondingOf(address operator)
        external
        view
        returns (uint256 amountWei, uint256 releaseAt, uint256 notAfter)
    {
        Unbonding memory unbonding = _unbondings[operator];
        return (unbonding.amountWei, unbonding.releaseAt, unbonding.notAfter);
    }

    /// @inheritdoc IOperatorRegistry
    function signerNotAfter(address operator, address signer) external view returns (uint256) {
        return _notAfter(operator, signer, _accounts[operator].leaving);
    }

    /// @inheritdoc IOperatorRegistry
    function offerOf(address operator, ModelId modelId) external view returns (Offer memory) {
        return _offers[operator][modelId];
    }

    /* INTERNAL */

    function _notAfter(address operator, address signer, bool leaving) private view returns (uint256 notAfter) {
        notAfter = _signers[operator][signer];
        if (leaving) {
            uint256 cap = _unbondings[operator].notAfter;
            if (cap < notAfter) notAfter = cap;
        }
    }

    function _closeUnbonding(bool leaves) private returns (uint256 amountWei) {
        amountWei = _unbondings[msg.sender].amountWei;
        if (amountWei == 0) revert UnbondingMissing(msg.sender);
        Account storage account = _accounts[msg.sender];
        account.lockedWei -= uint80(amountWei);
        if (leaves) {
            account.stakeWei -= uint80(amountWei);
            // INVARIANT: the cap on the signers of an operator that has left stays.
            delete _unbondings[msg.sender].amountWei;
        } else {
            account.leaving = false;
            delete _unbondings[msg.sender];
        }
    }

    function _takeBond(address operator, uint256 amountWei) private returns (uint256) {
        Account storage account = _accounts[operator];
        account.stakeWei -= uint80(amountWei);
        account.lockedWei -= uint80(amountWei);
        return amountWei;
    }

    /// @dev Free stake first, then unbonding stake; never a bond behind somebody else's result.
    function _takeUnbound(address operator, uint256 amountWei) private returns (uint256 takenWei) {
        Account storage account = _accounts[operator];
        Unbonding storage unbonding = _unbondings[operator];
        uint256 freeWei = account.stakeWei - account.lockedWei;
        uint256 fromFreeWei = amountWei < freeWei ? amountWei : freeWei;
        uint256 missingWei = amountWei - fromFreeWei;
        uint256 fromUnbondingWei = missingWei < unbonding.amountWei ? missingWei : unbonding.amountWei;
        takenWei = fromFreeWei + fromUnbondingWei;
        // SAFETY: each part is at most the field it is taken from.
        account.stakeWei -= uint80(takenWei);
        account.lockedWei -= uint80(fromUnbondingWei);
        unbonding.amountWei -= uint80(fromUnbondingWei);
    }
}
