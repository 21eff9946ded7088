// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {ModelId, RequestId, ResultId} from "../types/Ids.sol";
import {Request} from "../types/Request.sol";
import {Statement} from "../types/Result.sol";

/// @title The court: convicts operators, slashes them, compensates their victims.
/// @notice Equivocation: one operator swore two different outputs for one request (profiles exact and signed), or for
/// one input of one exact model. The two signatures are the whole proof; anyone may bring it.
interface IDisputeGame {
    /// @notice Thrown when the two statements come from different operators.
    error OperatorsDiffer(address first, address second);
    /// @notice Thrown when the two statements do not contradict each other, or their profile permits both.
    error NotEquivocation();
    /// @notice Thrown when a statement does not belong to the request that was passed for it.
    error StatementMismatch(RequestId requestId);
    /// @notice Thrown when a statement is about a request that was never made on this chain.
    error RequestNotMade(RequestId requestId);
    /// @notice Thrown when the operator has been convicted of this already and nothing more can be collected.
    error AlreadyConvicted(address operator);
    /// @notice Thrown when a bond is claimed for a result that nobody has refuted.
    error ResultNotConvicted(ResultId resultId);
    /// @notice Thrown when ether arrives from anyone but the operator registry.
    error PaymentUnexpected(address sender);
    /// @notice Thrown when there is nothing to withdraw.
    error RewardMissing(address account);
    /// @notice Thrown when ether cannot be delivered to an account.
    error RewardTransferFailed(address account, uint256 amountWei);

    /// @notice Emitted when an operator is convicted of equivocation.
    /// @param operator Who was convicted.
    /// @param prover Who proved it.
    /// @param first One result.
    /// @param second The other.
    /// @param slashedWei Stake taken at once.
    event EquivocationProven(
        address indexed operator, address indexed prover, ResultId first, ResultId second, uint256 slashedWei
    );
    /// @notice Emitted when slashed stake is shared out.
    /// @param operator Who was slashed.
    /// @param prover Who is rewarded.
    /// @param victim Who is compensated; zero = nobody, its share is burnt too.
    /// @param rewardWei The prover's share.
    /// @param compensationWei The victim's share.
    /// @param burntWei The rest.
    event SlashShared(
        address indexed operator,
        address indexed prover,
        address indexed victim,
        uint256 rewardWei,
        uint256 compensationWei,
        uint256 burntWei
    );
    /// @notice Emitted when a reward or a compensation is paid out.
    /// @param account Whose.
    /// @param amountWei How much.
    event RewardWithdrawn(address indexed account, uint256 amountWei);

    /// @notice Convicts an operator that swore two different outputs. Each statement costs the bond of its request (an
    /// off-chain one the smallest bond, besides the bonds behind its uses): the bond itself while it is proposed, else free
    /// and unbonding stake. What stake cannot pay now is collected by bringing the same proof again.
    /// @param first One statement.
    /// @param firstRequest The request that it answers; ignored for an off-chain result.
    /// @param second The other statement.
    /// @param secondRequest The request that it answers; ignored for an off-chain result.
    function proveEquivocation(
        Statement calldata first,
        Request calldata firstRequest,
        Statement calldata second,
        Request calldata secondRequest
    ) external;

    /// @notice Slashes the bond that a consumer's use of a convicted off-chain result had locked.
    /// @param resultId The convicted result.
    /// @param consumer Who used it.
    function slashUse(ResultId resultId, address consumer) external;

    /// @notice Pays the caller its rewards and compensations.
    function withdraw() external;

    /// @notice Pays an account its rewards and compensations; for contracts that cannot ask for them.
    /// @param account Whose; it receives the ether.
    function withdrawFor(address payable account) external;

    /// @notice Who proved an off-chain result false; zero when nobody has.
    /// @param resultId The result.
    function convictedBy(ResultId resultId) external view returns (address);

    /// @notice Whether the result is under challenge. Never, in a game without fault disputes.
    /// @param resultId The result.
    function isOpen(ResultId resultId) external view returns (bool);

    /// @notice Rewards and compensations that an account can withdraw.
    /// @param account Whose.
    function rewardOf(address account) external view returns (uint256);
}
