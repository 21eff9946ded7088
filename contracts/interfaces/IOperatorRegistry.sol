// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {ModelId} from "../types/Ids.sol";
import {Offer} from "../types/Offer.sol";

/// @title Operators: stake, result signers, offers, bonds, earnings.
/// @notice An operator is an owner address (it may be a contract) with a stake. Its results are signed by secp256k1
/// keys that it has authorised. Bonds are parts of the stake, locked while a result can be refuted.
interface IOperatorRegistry {
    /// @notice Thrown when the caller is not one of the three contracts fixed at deployment that may do this.
    error CallerNotAuthorized(address caller);
    /// @notice Thrown when an operator registers twice.
    error OperatorAlreadyRegistered(address operator);
    /// @notice Thrown when the address is not a registered operator.
    error OperatorNotRegistered(address operator);
    /// @notice Thrown when the zero address is authorised as a signer.
    error SignerInvalid(address signer);
    /// @notice Thrown when a signer may not sign results with this expiry for this operator (zero = not at all).
    error SignerNotAuthorized(address operator, address signer, uint256 expiry, uint256 notAfter);
    /// @notice Thrown when an operator answers an open request without an active offer for the model.
    error OfferMissing(address operator, ModelId modelId);
    /// @notice Thrown when a bond or an unbonding needs more than the operator's free stake.
    error FreeStakeTooLow(address operator, uint256 freeWei, uint256 requiredWei);
    /// @notice Thrown when an amount is zero or does not fit the stake's 80 bits.
    error AmountInvalid(uint256 amountWei);
    /// @notice Thrown when an operator starts an unbonding while another one is under way.
    error UnbondingPending(address operator, uint256 releaseAt);
    /// @notice Thrown when there is no unbonding to withdraw or to cancel.
    error UnbondingMissing(address operator);
    /// @notice Thrown when stake is withdrawn before its release.
    error UnbondingNotReleased(uint256 releaseAt, uint256 timestamp);
    /// @notice Thrown when there are no earnings to withdraw.
    error EarningsMissing(address operator);
    /// @notice Thrown when ether cannot be delivered to the given address.
    error TransferFailed(address to, uint256 amountWei);

    /// @notice Emitted when an operator registers.
    /// @param operator The owner address.
    /// @param metadataUri Where the operator describes itself.
    /// @param stakeWei Stake deposited with the registration.
    event OperatorRegistered(address indexed operator, string metadataUri, uint256 stakeWei);
    /// @notice Emitted when stake is added.
    /// @param operator Whose stake.
    /// @param payer Who paid.
    /// @param amountWei Added stake.
    event StakeAdded(address indexed operator, address indexed payer, uint256 amountWei);
    /// @notice Emitted when the validity of a result signer changes.
    /// @param operator Whose signer.
    /// @param signer The key's address.
    /// @param notAfter Last expiry that the signer may sign.
    event SignerChanged(address indexed operator, address indexed signer, uint256 notAfter);
    /// @notice Emitted when an operator posts, changes or withdraws (`active` false) an offer.
    /// @param operator Whose offer.
    /// @param modelId The model served.
    /// @param offer The new terms.
    event OfferChanged(address indexed operator, ModelId indexed modelId, Offer offer);
    /// @notice Emitted when stake starts to unbond.
    /// @param operator Whose stake.
    /// @param amountWei Stake that will leave; slashable until then.
    /// @param releaseAt When it may leave.
    /// @param notAfter Last expiry that any signer of a leaving operator may sign; zero when it stays.
    event UnbondingStarted(address indexed operator, uint256 amountWei, uint256 releaseAt, uint256 notAfter);
    /// @notice Emitted when an unbonding is cancelled.
    /// @param operator Whose stake.
    /// @param amountWei Stake that stays.
    event UnbondingCancelled(address indexed operator, uint256 amountWei);
    /// @notice Emitted when unbonded stake leaves.
    /// @param operator Whose stake.
    /// @param to Who received it.
    /// @param amountWei Stake that left.
    event StakeWithdrawn(address indexed operator, address indexed to, uint256 amountWei);
    /// @notice Emitted when earned fees leave.
    /// @param operator Whose earnings.
    /// @param to Who received them.
    /// @param amountWei Fees.
    event EarningsWithdrawn(address indexed operator, address indexed to, uint256 amountWei);
    /// @notice Emitted when stake is taken from a convicted operator.
    /// @param operator Who was convicted.
    /// @param amountWei Stake taken and handed to the dispute game.
    /// @param fromBond Whether it was locked behind a result.
    event OperatorSlashed(address indexed operator, uint256 amountWei, bool fromBond);

    /// @notice Registers the caller as an operator, or brings back one that has left; the ether sent becomes its stake.
    /// @param metadataUri Where the operator describes itself.
    function register(string calldata metadataUri) external payable;

    /// @notice Adds the ether sent to an operator's stake.
    /// @param operator Whose stake.
    function addStake(address operator) external payable;

    /// @notice Authorises a key to sign the caller's results, without end.
    /// @dev Warning: every two conflicting signatures of this key cost the caller stake, whoever holds the key.
    /// @param signer The key's address.
    function authorizeSigner(address signer) external;

    /// @notice Ends a key's authority: results that expire after now + `MAX_LIFETIME` are invalid, older ones stay valid.
    /// @param signer The key's address.
    function revokeSigner(address signer) external;

    /// @notice Posts or replaces the caller's terms for a model.
    /// @param modelId The model served.
    /// @param offer The terms; `active` false withdraws them.
    function setOffer(ModelId modelId, Offer calldata offer) external;

    /// @notice Starts to take free stake out: it backs nothing new from now on, and stays slashable until it leaves at
    /// now + `UNBONDING_SECONDS`. Unbonding the whole stake, with no bond locked, also caps every signer at
    /// now + `MAX_LIFETIME`.
    /// @param amountWei How much; `type(uint256).max` for all free stake.
    function unbond(uint256 amountWei) external;

    /// @notice Cancels the caller's unbonding: the stake is free again.
    function cancelUnbonding() external;

    /// @notice Pays out the caller's unbonded stake once it is released.
    /// @param to Who receives it.
    function withdrawStake(address payable to) external;

    /// @notice Pays out the caller's earned fees.
    /// @param to Who receives them.
    function withdrawEarnings(address payable to) external;

    /// @notice Locks a bond behind a result. Only for the oracle and for `SignedResults`, whose events tell of it.
    /// @param operator Whose stake.
    /// @param signer Who signed the result.
    /// @param expiry The result's expiry.
    /// @param offeredModel The model for which the operator must have an active offer; zero = no offer needed.
    /// @param bondWei How much to lock.
    function lockBond(address operator, address signer, uint256 expiry, ModelId offeredModel, uint256 bondWei) external;

    /// @notice Frees a bond and credits a fee. Only for the oracle and for `SignedResults`, whose events tell of it.
    /// @param operator Whose stake.
    /// @param bondWei The bond.
    /// @param earnedWei The fee.
    function releaseBond(address operator, uint256 bondWei, uint256 earnedWei) external;

    /// @notice Takes stake from a convicted operator and sends it to the caller. Only for the dispute game.
    /// @param operator Who was convicted.
    /// @param amountWei How much to take.
    /// @param fromBond True: a bond of exactly this amount is locked. False: take what free and unbonding stake there is.
    /// @return slashedWei How much was taken.
    function slash(address operator, uint256 amountWei, bool fromBond) external returns (uint256 slashedWei);

    /// @notice Stake of an operator: all, the locked part (bonds and unbonding), and fees earned but not withdrawn.
    /// @param operator The operator.
    function accountOf(address operator)
        external
        view
        returns (bool registered, uint256 stakeWei, uint256 lockedWei, uint256 earnedWei);

    /// @notice Stake that can back a new result.
    /// @param operator The operator.
    function freeStakeOf(address operator) external view returns (uint256);

    /// @notice The unbonding under way.
    /// @param operator The operator.
    /// @return amountWei Stake that will leave.
    /// @return releaseAt When it may leave.
    /// @return notAfter Cap on every signer; zero when none.
    function unbondingOf(address operator)
        external
        view
        returns (uint256 amountWei, uint256 releaseAt, uint256 notAfter);

    /// @notice Last expiry that a signer may sign for an operator; zero = never authorised.
    /// @param operator The operator.
    /// @param signer The key's address.
    function signerNotAfter(address operator, address signer) external view returns (uint256);

    /// @notice An operator's terms for a model.
    /// @param operator The operator.
    /// @param modelId The model.
    function offerOf(address operator, ModelId modelId) external view returns (Offer memory);
}
