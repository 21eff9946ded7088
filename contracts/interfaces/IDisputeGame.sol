// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Challenger, Demand, Dispute, DisputeStatus, Part, Target} from "../types/Dispute.sol";
import {ModelId, RequestId, ResultId} from "../types/Ids.sol";
import {Request} from "../types/Request.sol";
import {Result, Statement} from "../types/Result.sol";

/// @title The court: convicts operators, slashes them, compensates their victims.
/// @notice Equivocation: one operator swore two different outputs for one request (profiles exact and signed), or for
/// one input of one exact model. The two signatures are the whole proof; anyone may bring it.
///
/// Faults: a result is challenged with a bond; its operator commits to the trace of the run and shows any part of it that a
/// challenger pays for; one element that its step does not give convicts. Every phase has a clock, and silence convicts too.
/// There is one dispute per result, open to everyone who posts a bond, until its window ends.
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
    /// @notice Thrown when the phases of a dispute are deployed longer than the longest dispute.
    error DisputeTooLong(uint256 totalSeconds, uint256 maximum);
    /// @notice Thrown when a game is deployed whose demand phase is too short to walk down to one wrong element.
    error DemandPhaseTooShort(uint256 demandSeconds, uint256 minimum);
    /// @notice Thrown when a game is deployed in which commitments lapse before they are ripe.
    error RevealTooShort(uint256 revealSeconds);
    /// @notice Thrown when a result of a model without fault proofs is challenged.
    error ResultNotProvable(ModelId modelId);
    /// @notice Thrown when a result that answers a request is challenged as one that does not.
    error ResultNotOffchain(RequestId requestId);
    /// @notice Thrown when a result is challenged, or a challenge joined, after its window.
    error ChallengeTooLate(ResultId resultId, uint256 closedAt);
    /// @notice Thrown when a result has been challenged before; join that dispute if it is open.
    error DisputeExists(ResultId resultId, DisputeStatus status);
    /// @notice Thrown when a challenger sends less than the bond.
    error ChallengeBondTooLow(uint256 sentWei, uint256 bondWei);
    /// @notice Thrown when an opener sends more than four times the bond, which others would have to match.
    error ChallengeBondTooHigh(uint256 sentWei, uint256 maximumWei);
    /// @notice Thrown when a challenger joins twice.
    error AlreadyChallenger(ResultId resultId, address account);
    /// @notice Thrown when a move needs an open dispute.
    error DisputeNotOpen(ResultId resultId, DisputeStatus status);
    /// @notice Thrown when shares of a dispute are claimed that has not convicted the operator.
    error DisputeNotRefuted(ResultId resultId, DisputeStatus status);
    /// @notice Thrown when the account has posted no bond in the dispute.
    error NotChallenger(ResultId resultId, address account);
    /// @notice Thrown when the account has no part in the dispute, or has claimed it.
    error NothingToClaim(ResultId resultId, address account);
    /// @notice Thrown when a phase has ended.
    error MoveTooLate(ResultId resultId, uint256 until);
    /// @notice Thrown when a phase has not ended, or a commitment is not ripe.
    error MoveTooEarly(ResultId resultId, uint256 until);
    /// @notice Thrown when the operator has not committed to a trace.
    error TraceNotCommitted(ResultId resultId);
    /// @notice Thrown when the trace root is zero, or the result has one already.
    error TraceRootInvalid(ResultId resultId, bytes32 traceRoot);
    /// @notice Thrown when more roots are given than fit, or none.
    error TraceRootsInvalid(uint256 count);
    /// @notice Thrown when no trace can have what is demanded.
    error TargetInvalid();
    /// @notice Thrown when as many of a challenger's demands are waiting as may.
    error TooManyDemands(ResultId resultId, address account);
    /// @notice Thrown when less is paid for a demand than its answer costs.
    error DemandPriceTooLow(uint256 sentWei, uint256 priceWei);
    /// @notice Thrown when the same challenger demands the same twice.
    error DemandExists(bytes32 demandId);
    /// @notice Thrown when a demand has been answered.
    error DemandAnswered(bytes32 demandId);
    /// @notice Thrown when there is no such demand.
    error DemandMissing(bytes32 demandId);
    /// @notice Thrown when demands are unanswered, which convicts the operator.
    error DemandsOpen(ResultId resultId, uint256 count);
    /// @notice Thrown when a commitment is zero.
    error CommitmentInvalid();
    /// @notice Thrown when a fault is proven that the prover has not committed to.
    error CommitmentMissing(ResultId resultId, address prover);
    /// @notice Thrown when a proof shows another fault than the one committed to.
    error CommitmentMismatch(ResultId resultId, address prover);
    /// @notice Thrown when a proof is too short to say what it is about.
    error ProofTooShort(uint256 length);
    /// @notice Thrown when the referee finds that what was stated is right.
    error FaultNotShown(ResultId resultId);

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
    /// @notice Emitted when a result is challenged.
    /// @param resultId The result.
    /// @param operator Who swore to it.
    /// @param challenger Who challenges it.
    /// @param bondWei The challenger's bond.
    event DisputeOpened(
        ResultId indexed resultId, address indexed operator, address indexed challenger, uint256 bondWei
    );
    /// @notice Emitted when somebody joins the challengers.
    /// @param resultId The result.
    /// @param challenger Who.
    /// @param bondWei Its bond.
    event DisputeJoined(ResultId indexed resultId, address indexed challenger, uint256 bondWei);
    /// @notice Emitted when an operator commits to the trace of its run.
    /// @param resultId The result.
    /// @param operator Who swore to it.
    /// @param traceRoot Root of the trace.
    /// @param dataRoots The leaves under it, if they were given.
    event TraceCommitted(ResultId indexed resultId, address indexed operator, bytes32 traceRoot, bytes32[] dataRoots);
    /// @notice Emitted when a challenger pays to see a part of the trace.
    /// @param resultId The result.
    /// @param challenger Who.
    /// @param demandId Id of the demand.
    /// @param target What it wants to see.
    /// @param priceWei What it pays.
    /// @param dueAt Last second in which the operator may show it.
    event Demanded(
        ResultId indexed resultId,
        address indexed challenger,
        bytes32 indexed demandId,
        Target target,
        uint256 priceWei,
        uint256 dueAt
    );
    /// @notice Emitted when a part of the trace is shown.
    /// @param resultId The result.
    /// @param challenger Who wanted it.
    /// @param demandId Id of the demand.
    /// @param disclosure What was shown.
    event Disclosed(ResultId indexed resultId, address indexed challenger, bytes32 indexed demandId, bytes disclosure);
    /// @notice Emitted when a challenger commits to a fault that it will prove.
    /// @param resultId The result.
    /// @param challenger Who.
    /// @param commitment Hides the fault.
    event FaultCommitted(ResultId indexed resultId, address indexed challenger, bytes32 commitment);
    /// @notice Emitted when a fault is proven: the result is refuted. An earlier commitment may still follow.
    /// @param resultId The result.
    /// @param operator Who swore to it.
    /// @param prover Who proved it.
    /// @param kind Kind of fault.
    /// @param value Number of the value at fault.
    /// @param index Element at fault.
    event FaultProven(
        ResultId indexed resultId,
        address indexed operator,
        address indexed prover,
        uint8 kind,
        uint32 value,
        uint64 index
    );
    /// @notice Emitted when an operator is convicted for not answering in time.
    /// @param resultId The result.
    /// @param operator Who fell silent.
    /// @param caller Who said so.
    event SilenceConvicted(ResultId indexed resultId, address indexed operator, address indexed caller);
    /// @notice Emitted when a challenged result stands. The challengers' bonds go to operator and requester.
    /// @param resultId The result.
    /// @param operator Who swore to it.
    /// @param bondsWei All bonds.
    event DisputeResolved(ResultId indexed resultId, address indexed operator, uint256 bondsWei);
    /// @notice Emitted when a challenger's bond and share are credited.
    /// @param resultId The result.
    /// @param account Whose.
    /// @param amountWei How much.
    event ShareClaimed(ResultId indexed resultId, address indexed account, uint256 amountWei);

    /// @notice Convicts an operator that swore two different outputs. Each statement costs the bond of its request (an
    /// off-chain one the smallest bond, besides the bonds behind its uses): the bond itself while it is proposed, else free
    /// and unbonding stake. What stake cannot pay now is collected by bringing the same proof again. A dispute over one of
    /// the results ends as if the caller had proven a fault: the reward waits there for `claim`.
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

    /// @notice Whether the result is under challenge.
    /// @param resultId The result.
    function isOpen(ResultId resultId) external view returns (bool);

    /// @notice Rewards and compensations that an account can withdraw.
    /// @param account Whose.
    function rewardOf(address account) external view returns (uint256);

    /// @notice Challenges a proposed result within its window, with a bond of at least `challengeBondFor`; the whole of
    /// what is sent is at stake.
    /// @param request The request that it answers.
    /// @param operator Who swore to it.
    /// @param outputRoot Root of its output.
    /// @param traceRoot Root of its trace; zero if it has none.
    /// @return resultId EIP-712 digest of the result.
    function challenge(Request calldata request, address operator, bytes32 outputRoot, bytes32 traceRoot)
        external
        payable
        returns (ResultId resultId);

    /// @notice Challenges an off-chain result, until its expiry and tail.
    /// @param result The result.
    /// @param signature Signature of one of the operator's signers under it.
    /// @return resultId EIP-712 digest of the result.
    function challengeOffchain(Result calldata result, bytes calldata signature)
        external
        payable
        returns (ResultId resultId);

    /// @notice Joins the challengers of a result with at least the opener's bond, while its window is open.
    /// @param resultId The result.
    function join(ResultId resultId) external payable;

    /// @notice Commits a challenged operator to the trace of its run, if its result has no trace root. Anyone may relay.
    /// @param result The result, without a trace root.
    /// @param traceRoot Root of the trace.
    /// @param signature Signature of one of the operator's signers over the same result with this trace root.
    function commitTrace(Result calldata result, bytes32 traceRoot, bytes calldata signature) external;

    /// @notice The same for a trace of at most 64 values, whose data roots are then known to everyone at once.
    /// @param result The result, without a trace root.
    /// @param dataRoots Data root of each value.
    /// @param signature Signature of one of the operator's signers over the same result with the root over these.
    function commitTraceRoots(Result calldata result, bytes32[] calldata dataRoots, bytes calldata signature) external;

    /// @notice Pays `disclosurePrice` to see a part of the trace, or of the model that made it. The operator earns it by
    /// showing the part in time, and is convicted if it does not. For challengers. What is sent beyond the price, lest it
    /// rise in the meantime, is credited to the sender.
    /// @param result The result.
    /// @param target What to show.
    function demand(Result calldata result, Target calldata target) external payable;

    /// @notice Shows what a challenger demanded. Anyone may: what is shown is checked against the trace root, or the model id.
    /// @param result The result.
    /// @param challenger Who demanded it.
    /// @param target What was demanded.
    /// @param disclosure The answer, encoded as `Disclosure` and `ProgramDisclosure` say.
    function disclose(Result calldata result, address challenger, Target calldata target, bytes calldata disclosure)
        external;

    /// @notice Commits a challenger to a fault, so that nobody can copy its proof. A later commitment replaces it.
    /// @param resultId The result.
    /// @param commitment See `faultCommitment`.
    function commitFault(ResultId resultId, bytes32 commitment) external;

    /// @notice Proves the fault that the caller has committed to, at least 60 seconds and 5 blocks ago. The first proof
    /// refutes the result at once; the earliest commitment that is proven gets the reward.
    /// @param result The result.
    /// @param request The request that it answers; ignored for an off-chain result.
    /// @param proof The encoded fault proof.
    /// @param salt The salt in the commitment.
    function proveFault(Result calldata result, Request calldata request, bytes calldata proof, bytes32 salt) external;

    /// @notice Convicts an operator that has not committed to a trace in time, or not shown what was demanded. Anyone may.
    /// @param result The result.
    /// @param request The request that it answers; ignored for an off-chain result.
    /// @param challenger Whose demand is overdue; ignored while there is no trace.
    /// @param target What was demanded; ignored while there is no trace.
    function convictSilence(
        Result calldata result,
        Request calldata request,
        address challenger,
        Target calldata target
    ) external;

    /// @notice Ends a dispute in which nobody proved a fault: 70 % of the bonds go to the operator, 30 % to the
    /// requester (of an off-chain result, they are burnt). Anyone may, after `endsAt`.
    /// @param result The result.
    /// @param request The request that it answers; ignored for an off-chain result.
    function resolve(Result calldata result, Request calldata request) external;

    /// @notice Credits a challenger of a refuted result, or who convicted it by other means, its bond, what it paid for
    /// demands as far as half the reward reaches (the prover before all others), and its share of the reward. Anyone may,
    /// when no earlier commitment can be proven any more.
    /// @param resultId The result.
    /// @param account Whose.
    function claim(ResultId resultId, address account) external;

    /// @notice Slashes what a false off-chain result has not cost its operator yet, because its stake was out of reach. Anyone
    /// may, when no earlier commitment can be proven any more; the reward is the prover's.
    /// @param result The convicted result.
    function collect(Result calldata result) external;

    /// @notice Where a dispute stands.
    /// @param resultId The result.
    function disputeOf(ResultId resultId) external view returns (Dispute memory);

    /// @notice A party to a dispute.
    /// @param resultId The result.
    /// @param account Who.
    function challengerOf(ResultId resultId, address account) external view returns (Challenger memory);

    /// @notice A demand; its due time is zero when it was never made, and the largest number when it has been answered.
    /// @param demandId Its id.
    function demandOf(bytes32 demandId) external view returns (Demand memory);

    /// @notice The id that a demand has.
    /// @param resultId The result.
    /// @param challenger Who demands.
    /// @param target What is demanded.
    function demandIdOf(ResultId resultId, address challenger, Target calldata target) external pure returns (bytes32);

    /// @notice When a dispute ends at the latest, if nobody is convicted before.
    /// @param resultId The result.
    function endsAt(ResultId resultId) external view returns (uint256);

    /// @notice The smallest bond of a challenger at the current base fee.
    /// @param valueAtRiskWei Of the request; zero for an off-chain result.
    function challengeBondFor(uint256 valueAtRiskWei) external view returns (uint256);

    /// @notice What a demand costs at the current base fee.
    /// @param part What is demanded.
    function disclosurePrice(Part part) external view returns (uint256);

    /// @notice The commitment that hides a fault.
    /// @param resultId The result.
    /// @param prover Who will prove it.
    /// @param kind Kind of fault.
    /// @param value Number of the value at fault.
    /// @param index Element at fault.
    /// @param salt Anything that nobody can guess.
    function faultCommitment(ResultId resultId, address prover, uint8 kind, uint32 value, uint64 index, bytes32 salt)
        external
        pure
        returns (bytes32);
}
