// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Address} from "@openzeppelin/contracts/utils/Address.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

import {IDisputeGame} from "../interfaces/IDisputeGame.sol";
import {IInferenceOracle} from "../interfaces/IInferenceOracle.sol";
import {IReferee} from "../interfaces/IReferee.sol";
import {ITraceVerifier} from "../interfaces/ITraceVerifier.sol";
import {Challenger, Demand, Dispute, DisputeStatus, Opening, Part, Target} from "../types/Dispute.sol";
import {ModelId, ResultId} from "../types/Ids.sol";
import {Profile} from "../types/Model.sol";
import {DisputeParameters} from "../types/Parameters.sol";
import {Request} from "../types/Request.sol";
import {Result} from "../types/Result.sol";
import {Convictions} from "./Convictions.sol";

/// @title Challenges to one result: trace, demands, fault proof, verdict, shares.
abstract contract Disputes is IDisputeGame, Convictions {
    using SafeCast for uint256;

    IReferee public immutable REFEREE;
    ITraceVerifier public immutable TRACE_VERIFIER;
    uint256 public immutable TAIL_SECONDS;
    uint256 public immutable TRACE_SECONDS;
    uint256 public immutable DEMAND_SECONDS;
    uint256 public immutable DISCLOSE_SECONDS;
    uint256 public immutable COMMIT_SECONDS;
    uint256 public immutable REVEAL_SECONDS;
    uint256 public immutable FLOOR_GAS_PRICE_WEI;

    // A commitment can be revealed no earlier, so that a copied reveal earns nothing.
    uint256 public constant MATURITY_SECONDS = 60;
    uint256 public constant MATURITY_BLOCKS = 5;
    // Demands of one challenger that wait at a time: a MiB of chunks.
    uint256 public constant MAX_OPEN_DEMANDS = 64;
    // What it takes to walk down to one wrong element of any trace, each demand made with the last one's answer: 8 through
    // 2^32 values and 6 through the 2^24 chunks of 2^34 bytes, 16 at a time; the chunks themselves stand for the last level.
    uint256 public constant ROUNDS = 14;
    // The least time for a challenger to look at an answer and pick what it demands next.
    uint256 public constant PICK_SECONDS = 60;
    // An opener's bond, as a multiple of the smallest: room for a base fee that moves.
    uint256 public constant MAX_OPENING_FACTOR = 4;

    // What an operator's answers cost at most; bonds and prices are sized by it.
    uint256 private constant TRACE_GAS = 200_000;
    uint256 private constant NODES_GAS = 200_000;
    uint256 private constant CHUNKS_GAS = 1_100_000;
    uint256 private constant PROGRAM_GAS = 1_600_000;
    // Roots of a small model's values, committed at once.
    uint256 private constant MAX_INLINE_ROOTS = 64;
    // Of value and index in a fault proof, behind version, kind, model, statement and its digest.
    uint256 private constant FAULT_OFFSET = 2 + 163 + 128 + 32;
    // When an answered demand is due.
    uint40 private constant ANSWERED = type(uint40).max;
    // Of a challenger's bond that did not prove anything, what the requester gets for the delay.
    uint256 private constant DELAY_PERCENT = 30;
    // Of the reward, what the opener gets.
    uint256 private constant OPENER_PERCENT = 10;

    mapping(ResultId resultId => Dispute) private _disputes;
    mapping(ResultId resultId => mapping(address account => Challenger)) private _challengers;
    mapping(bytes32 demandId => Demand) private _demands;

    constructor(IReferee referee, ITraceVerifier traceVerifier, DisputeParameters memory parameters) {
        uint256 total = uint256(parameters.traceSeconds) + parameters.demandSeconds + parameters.discloseSeconds
            + parameters.commitSeconds + parameters.revealSeconds;
        if (total > parameters.maxDisputeSeconds) revert DisputeTooLong(total, parameters.maxDisputeSeconds);
        uint256 walkSeconds = ROUNDS * (uint256(parameters.discloseSeconds) + PICK_SECONDS);
        // INVARIANT: who starts to walk in the window's last second arrives, though every answer comes in its last second.
        if (parameters.demandSeconds < walkSeconds) revert DemandPhaseTooShort(parameters.demandSeconds, walkSeconds);
        if (parameters.revealSeconds <= MATURITY_SECONDS) revert RevealTooShort(parameters.revealSeconds);
        REFEREE = referee;
        TRACE_VERIFIER = traceVerifier;
        TAIL_SECONDS = parameters.tailSeconds;
        TRACE_SECONDS = parameters.traceSeconds;
        DEMAND_SECONDS = parameters.demandSeconds;
        DISCLOSE_SECONDS = parameters.discloseSeconds;
        COMMIT_SECONDS = parameters.commitSeconds;
        REVEAL_SECONDS = parameters.revealSeconds;
        FLOOR_GAS_PRICE_WEI = parameters.floorGasPriceWei;
    }

    /* OPENING */

    /// @inheritdoc IDisputeGame
    /// @dev Not guarded against reentrancy: it calls the protocol's own contracts only, and a dispute of its own.
    function challenge(Request calldata request, address operator, bytes32, bytes32)
        external
        payable
        returns (ResultId resultId)
    {
        uint256 closesAt;
        // INVARIANT: the oracle vouches for the signature: it took this very result as a proposal.
        // SAFETY: `dispute` takes the same arguments, all of fixed size, so they are passed on as they came.
        bytes memory answer =
            Address.functionCall(address(ORACLE), bytes.concat(IInferenceOracle.dispute.selector, msg.data[4:]));
        (resultId, closesAt) = abi.decode(answer, (ResultId, uint256));
        _openDispute(resultId, operator, request.modelId, closesAt, challengeBondFor(request.valueAtRiskWei));
    }

    /// @inheritdoc IDisputeGame
    function challengeOffchain(Result calldata result, bytes calldata signature)
        external
        payable
        nonReentrant
        returns (ResultId resultId)
    {
        if (!_isOffchain(result)) revert ResultNotOffchain(result.requestId);
        resultId = _requireSigned(result, signature);
        uint256 closesAt = uint256(result.expiry) + TAIL_SECONDS;
        if (block.timestamp > closesAt) revert ChallengeTooLate(resultId, closesAt);
        // INVARIANT: whoever convicted a result is paid for its uses; nobody convicts it once more to take that.
        if (_convictedBy[resultId] != address(0)) revert AlreadyConvicted(result.operator);
        _openDispute(resultId, result.operator, result.modelId, closesAt, challengeBondFor(0));
    }

    /// @inheritdoc IDisputeGame
    function join(ResultId resultId) external payable nonReentrant {
        Dispute storage dispute = _open(resultId);
        if (block.timestamp > dispute.opening.closesAt) revert ChallengeTooLate(resultId, dispute.opening.closesAt);
        Challenger storage challenger = _challengers[resultId][msg.sender];
        if (challenger.bondWei != 0) revert AlreadyChallenger(resultId, msg.sender);
        uint256 bondWei = _challengers[resultId][dispute.opening.opener].bondWei;
        if (msg.value < bondWei) revert ChallengeBondTooLow(msg.value, bondWei);

        challenger.bondWei = msg.value.toUint96();
        dispute.joinedWei = (uint256(dispute.joinedWei) + msg.value).toUint96();

        emit DisputeJoined(resultId, msg.sender, msg.value);
    }

    /* TRACE */

    /// @inheritdoc IDisputeGame
    function commitTrace(Result calldata result, bytes32 traceRoot, bytes calldata signature) external nonReentrant {
        _commitTrace(result, traceRoot, new bytes32[](0), signature);
    }

    /// @inheritdoc IDisputeGame
    function commitTraceRoots(Result calldata result, bytes32[] calldata dataRoots, bytes calldata signature)
        external
        nonReentrant
    {
        if (dataRoots.length == 0 || dataRoots.length > MAX_INLINE_ROOTS) {
            revert TraceRootsInvalid(dataRoots.length);
        }
        _commitTrace(result, TRACE_VERIFIER.rootOf(dataRoots), dataRoots, signature);
    }

    /// @inheritdoc IDisputeGame
    function demand(Result calldata result, Target calldata target) external payable nonReentrant {
        ResultId resultId = ORACLE.digestOf(result);
        Dispute storage dispute = _open(resultId);
        Challenger storage challenger = _requireChallenger(resultId, msg.sender);
        if (_traceRoot(result, dispute) == 0) revert TraceNotCommitted(resultId);
        uint256 until = uint256(dispute.opening.closesAt) + TRACE_SECONDS + DEMAND_SECONDS;
        if (block.timestamp > until) revert MoveTooLate(resultId, until);
        if (!TRACE_VERIFIER.isPlausible(target)) revert TargetInvalid();
        if (challenger.openDemands == MAX_OPEN_DEMANDS) revert TooManyDemands(resultId, msg.sender);
        uint256 priceWei = disclosurePrice(target.part);
        if (msg.value < priceWei) revert DemandPriceTooLow(msg.value, priceWei);
        bytes32 demandId = _demandId(resultId, msg.sender, target);
        if (_demands[demandId].dueAt != 0) revert DemandExists(demandId);

        uint256 dueAt = block.timestamp + DISCLOSE_SECONDS;
        // INVARIANT: a demand costs its price and no more, so that nobody moves money to an operator, or the prover's share to
        // itself, by paying dearly; what is sent beyond is the sender's.
        _demands[demandId] = Demand({dueAt: dueAt.toUint40(), priceWei: priceWei.toUint96()});
        challenger.lockedWei = (uint256(challenger.lockedWei) + priceWei).toUint80();
        ++challenger.openDemands;
        ++dispute.openDemands;
        if (msg.value > priceWei) _credit(msg.sender, msg.value - priceWei);

        emit Demanded(resultId, msg.sender, demandId, target, priceWei, dueAt);
    }

    /// @inheritdoc IDisputeGame
    function disclose(Result calldata result, address challenger, Target calldata target, bytes calldata disclosure)
        external
        nonReentrant
    {
        ResultId resultId = ORACLE.digestOf(result);
        Dispute storage dispute = _open(resultId);
        bytes32 demandId = _demandId(resultId, challenger, target);
        Demand memory made = _demands[demandId];
        if (made.dueAt == 0) revert DemandMissing(demandId);
        if (made.dueAt == ANSWERED) revert DemandAnswered(demandId);
        if (block.timestamp > made.dueAt) revert MoveTooLate(resultId, made.dueAt);
        // What was demanded is a part of the trace, or of the model that the operator answered by.
        bytes32 root = target.part < Part.Weights ? _traceRoot(result, dispute) : ModelId.unwrap(result.modelId);
        TRACE_VERIFIER.check(disclosure, target, root);

        // INVARIANT: what has been shown once need not be shown to the same challenger again: the entry stays, unpaid.
        Challenger storage party = _challengers[resultId][challenger];
        party.lockedWei -= uint80(made.priceWei);
        party.spentWei = (uint256(party.spentWei) + made.priceWei).toUint80();
        --party.openDemands;
        --dispute.openDemands;
        dispute.spentWei = (uint256(dispute.spentWei) + made.priceWei).toUint80();
        _demands[demandId].dueAt = ANSWERED;
        _demands[demandId].priceWei = 0;
        _credit(result.operator, made.priceWei);

        emit Disclosed(resultId, challenger, demandId, disclosure);
    }

    /* PROOF */

    /// @inheritdoc IDisputeGame
    function commitFault(ResultId resultId, bytes32 commitment) external nonReentrant {
        Dispute storage dispute = _open(resultId);
        Challenger storage challenger = _requireChallenger(resultId, msg.sender);
        uint256 until = _endsAt(dispute) - REVEAL_SECONDS;
        if (block.timestamp > until) revert MoveTooLate(resultId, until);
        if (commitment == 0) revert CommitmentInvalid();

        challenger.commitment = commitment;
        challenger.committedAt = uint40(block.timestamp);
        challenger.committedIn = uint64(block.number);

        emit FaultCommitted(resultId, msg.sender, commitment);
    }

    /// @inheritdoc IDisputeGame
    function proveFault(Result calldata result, Request calldata request, bytes calldata proof, bytes32 salt)
        external
        nonReentrant
    {
        uint256 gasBefore = gasleft();
        ResultId resultId = ORACLE.digestOf(result);
        Dispute storage dispute = _disputes[resultId];
        Challenger storage challenger = _challengers[resultId][msg.sender];
        uint256 committedAt = _requireRipe(resultId, challenger);
        bool first = dispute.opening.status == DisputeStatus.Open;
        // INVARIANT: after the verdict only an earlier commitment can still take the prover's place.
        bool takesOver = dispute.opening.status == DisputeStatus.Refuted && dispute.prover != address(0)
            && committedAt < dispute.committedAt;
        if (!first && !takesOver) revert DisputeNotOpen(resultId, dispute.opening.status);

        (uint8 kind, uint32 value, uint64 index) = _faultOf(proof);
        if (challenger.commitment != faultCommitment(resultId, msg.sender, kind, value, index, salt)) {
            revert CommitmentMismatch(resultId, msg.sender);
        }
        // INVARIANT: the referee is called plainly: if it runs out of gas or reverts, nothing has happened.
        if (!REFEREE.check(_statementOf(result, _traceRoot(result, dispute)), proof)) revert FaultNotShown(resultId);

        if (takesOver) {
            Challenger storage former = _challengers[resultId][dispute.prover];
            uint256 costWei = uint256(dispute.proofCostGwei) * 1 gwei;
            former.spentWei = (uint256(former.spentWei) + costWei).toUint80();
            dispute.spentWei = (uint256(dispute.spentWei) + costWei).toUint80();
            if (_convictedBy[resultId] == dispute.prover) _convictedBy[resultId] = msg.sender;
        } else {
            _refuteDispute(dispute, result, request, resultId, msg.sender);
        }
        dispute.prover = msg.sender;
        dispute.committedAt = uint40(committedAt);
        uint256 costGwei = ((gasBefore - gasleft() + 21_000 + 16 * proof.length) * _gasPrice()) / 1 gwei;
        // INVARIANT: few enough that adding it to what was spent never overflows, and so never blocks another's proof.
        dispute.proofCostGwei = uint56(Math.min(costGwei, type(uint48).max));

        emit FaultProven(resultId, result.operator, msg.sender, kind, value, index);
    }

    /* VERDICT */

    /// @inheritdoc IDisputeGame
    function convictSilence(
        Result calldata result,
        Request calldata request,
        address challenger,
        Target calldata target
    ) external nonReentrant {
        ResultId resultId = ORACLE.digestOf(result);
        Dispute storage dispute = _open(resultId);
        uint256 dueAt;
        if (_traceRoot(result, dispute) == 0) {
            dueAt = uint256(dispute.opening.openedAt) + TRACE_SECONDS;
        } else {
            bytes32 demandId = _demandId(resultId, challenger, target);
            dueAt = _demands[demandId].dueAt;
            if (dueAt == 0) revert DemandMissing(demandId);
        }
        if (block.timestamp <= dueAt) revert MoveTooEarly(resultId, dueAt);

        _refuteDispute(dispute, result, request, resultId, dispute.opening.opener);

        emit SilenceConvicted(resultId, result.operator, msg.sender);
    }

    /// @inheritdoc IDisputeGame
    function resolve(Result calldata result, Request calldata request) external nonReentrant {
        ResultId resultId = ORACLE.digestOf(result);
        Dispute storage dispute = _open(resultId);
        uint256 latest = _endsAt(dispute);
        if (block.timestamp <= latest) revert MoveTooEarly(resultId, latest);
        // INVARIANT: an operator that owes an answer is convicted for its silence, never upheld.
        if (_traceRoot(result, dispute) == 0) revert TraceNotCommitted(resultId);
        if (dispute.openDemands != 0) revert DemandsOpen(resultId, dispute.openDemands);

        dispute.opening.status = DisputeStatus.Upheld;
        uint256 bondsWei = _bondsOf(resultId, dispute);
        uint256 delayWei = (bondsWei * DELAY_PERCENT) / 100;
        _credit(result.operator, bondsWei - delayWei);
        if (_isOffchain(result)) {
            _burn(delayWei);
        } else {
            _credit(request.refundTo, delayWei);
            ORACLE.uphold(request, resultId);
        }

        emit DisputeResolved(resultId, result.operator, bondsWei);
    }

    /// @inheritdoc IDisputeGame
    function claim(ResultId resultId, address account) external nonReentrant {
        Dispute storage dispute = _disputes[resultId];
        if (dispute.opening.status != DisputeStatus.Refuted) {
            revert DisputeNotRefuted(resultId, dispute.opening.status);
        }
        uint256 settlesAt = _settlesAt(dispute);
        if (block.timestamp <= settlesAt) revert MoveTooEarly(resultId, settlesAt);
        Challenger memory challenger = _challengers[resultId][account];
        // Who convicted the result by other means needs no bond.
        bool isParty = challenger.bondWei != 0 || (account == dispute.prover && account != address(0));
        if (!isParty || challenger.claimed) revert NothingToClaim(resultId, account);

        // INVARIANT: what bonds and spendings sum up to stays as it was at the verdict, whoever has claimed already.
        _challengers[resultId][account].claimed = true;
        uint256 amountWei =
            uint256(challenger.bondWei) + challenger.lockedWei + _shareOf(resultId, dispute, challenger, account);
        _credit(account, amountWei);

        emit ShareClaimed(resultId, account, amountWei);
    }

    /* VIEWS */

    /// @inheritdoc IDisputeGame
    function disputeOf(ResultId resultId) external view returns (Dispute memory) {
        return _disputes[resultId];
    }

    /// @inheritdoc IDisputeGame
    function challengerOf(ResultId resultId, address account) external view returns (Challenger memory) {
        return _challengers[resultId][account];
    }

    /// @inheritdoc IDisputeGame
    function demandOf(bytes32 demandId) external view returns (Demand memory) {
        return _demands[demandId];
    }

    /// @inheritdoc IDisputeGame
    function demandIdOf(ResultId resultId, address challenger, Target calldata target) external pure returns (bytes32) {
        return _demandId(resultId, challenger, target);
    }

    /// @inheritdoc IDisputeGame
    function endsAt(ResultId resultId) external view returns (uint256) {
        return _endsAt(_disputes[resultId]);
    }

    /// @inheritdoc IDisputeGame
    function challengeBondFor(uint256 valueAtRiskWei) public view returns (uint256) {
        uint256 answeringWei = (TRACE_GAS * _gasPrice() * 3) / 2;
        uint256 shareWei = valueAtRiskWei / 100;
        return answeringWei > shareWei ? answeringWei : shareWei;
    }

    /// @inheritdoc IDisputeGame
    function disclosurePrice(Part part) public view returns (uint256) {
        uint256 answerGas = NODES_GAS;
        if (part == Part.Chunks || part == Part.WeightChunks) answerGas = CHUNKS_GAS;
        if (part == Part.Steps || part == Part.Interface) answerGas = PROGRAM_GAS;
        return answerGas * _gasPrice();
    }

    /// @inheritdoc IDisputeGame
    function faultCommitment(ResultId resultId, address prover, uint8 kind, uint32 value, uint64 index, bytes32 salt)
        public
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(resultId, prover, kind, value, index, salt));
    }

    /* INTERNAL */

    function _isOpen(ResultId resultId) internal view virtual override returns (bool) {
        return _disputes[resultId].opening.status == DisputeStatus.Open;
    }

    /// @dev The result has been convicted by other means, which counts like a fault proven now: who had committed to one
    /// before can still prove it and take the reward, and what disclosures cost is repaid first.
    function _closeDispute(ResultId resultId) internal virtual override {
        Dispute storage dispute = _disputes[resultId];
        if (dispute.opening.status != DisputeStatus.Open) return;
        dispute.opening.status = DisputeStatus.Refuted;
        dispute.prover = msg.sender;
        dispute.committedAt = uint40(block.timestamp);
    }

    /// @dev INVARIANT: an operator that is about to be convicted cannot take the reward from its challengers by showing, or
    /// having a friend show, that it equivocated.
    function _reward(ResultId resultId, address prover, uint256 rewardWei) internal virtual override {
        Dispute storage dispute = _disputes[resultId];
        if (block.timestamp > _settlesAt(dispute)) _credit(prover, rewardWei);
        else dispute.rewardWei = (uint256(dispute.rewardWei) + rewardWei).toUint96();
    }

    /// @dev Whether somebody may still take the prover's place.
    function _requireSettled(ResultId resultId) internal view virtual override {
        Dispute storage dispute = _disputes[resultId];
        uint256 settlesAt = _settlesAt(dispute);
        if (dispute.opening.status == DisputeStatus.Refuted && block.timestamp <= settlesAt) {
            revert MoveTooEarly(resultId, settlesAt);
        }
    }

    function _openDispute(ResultId resultId, address operator, ModelId modelId, uint256 closesAt, uint256 bondWei)
        private
    {
        Profile profile = MODEL_REGISTRY.profileOf(modelId);
        if (profile != Profile.Exact && profile != Profile.Bounded) revert ResultNotProvable(modelId);
        Dispute storage dispute = _disputes[resultId];
        if (dispute.opening.status != DisputeStatus.None) revert DisputeExists(resultId, dispute.opening.status);
        if (msg.value < bondWei) revert ChallengeBondTooLow(msg.value, bondWei);
        // INVARIANT: who joins posts the opener's bond, so a friend of the operator must not price others out with its own.
        if (msg.value > MAX_OPENING_FACTOR * bondWei) {
            revert ChallengeBondTooHigh(msg.value, MAX_OPENING_FACTOR * bondWei);
        }

        dispute.opening = Opening({
            status: DisputeStatus.Open,
            openedAt: uint40(block.timestamp),
            closesAt: closesAt.toUint40(),
            opener: msg.sender
        });
        _challengers[resultId][msg.sender].bondWei = msg.value.toUint96();

        emit DisputeOpened(resultId, operator, msg.sender, msg.value);
    }

    function _refuteDispute(
        Dispute storage dispute,
        Result calldata result,
        Request calldata request,
        ResultId resultId,
        address prover
    ) private {
        // INVARIANT: the request whose bond is slashed, and whose requester is compensated, is the one that was answered.
        if (!_isOffchain(result)) _requireRequestOf(result, request);
        dispute.opening.status = DisputeStatus.Refuted;
        (, uint256 slashedWei) = _slashProposed(result, request, resultId);
        (, uint256 chargedWei) = _convict(result, request, resultId, prover);
        slashedWei += chargedWei;
        dispute.rewardWei = _settleSlash(result.operator, prover, _victimOf(result, request), slashedWei).toUint96();
    }

    function _commitTrace(
        Result calldata result,
        bytes32 traceRoot,
        bytes32[] memory dataRoots,
        bytes calldata signature
    ) private {
        ResultId resultId = ORACLE.digestOf(result);
        Dispute storage dispute = _open(resultId);
        if (traceRoot == 0 || _traceRoot(result, dispute) != 0) revert TraceRootInvalid(resultId, traceRoot);
        uint256 until = uint256(dispute.opening.openedAt) + TRACE_SECONDS;
        if (block.timestamp > until) revert MoveTooLate(resultId, until);
        // The operator swears to the same result once more, with its trace.
        Result memory sworn = result;
        sworn.traceRoot = traceRoot;
        _requireSigned(sworn, signature);

        dispute.traceRoot = traceRoot;

        emit TraceCommitted(resultId, result.operator, traceRoot, dataRoots);
    }

    function _shareOf(ResultId resultId, Dispute storage dispute, Challenger memory challenger, address account)
        private
        view
        returns (uint256 amountWei)
    {
        uint256 rewardWei = dispute.rewardWei;
        uint256 spentWei = dispute.spentWei;
        if (spentWei != 0) {
            // What disclosures cost is repaid first, from at most half of the reward: an operator that pays itself for
            // disclosures must not take the prover's share.
            uint256 repaidWei = Math.min(spentWei, rewardWei / 2);
            // INVARIANT: nobody's spending is repaid before the prover's own.
            uint256 proverSpentWei = _challengers[resultId][dispute.prover].spentWei;
            uint256 proverWei = Math.min(proverSpentWei, repaidWei);
            if (account == dispute.prover) {
                amountWei = proverWei;
            } else if (challenger.spentWei != 0) {
                amountWei = ((repaidWei - proverWei) * challenger.spentWei) / (spentWei - proverSpentWei);
            }
            rewardWei -= repaidWei;
        }
        uint256 openerWei = (rewardWei * OPENER_PERCENT) / 100;
        rewardWei -= openerWei;
        if (account == dispute.opening.opener) amountWei += openerWei;
        if (account == dispute.prover) amountWei += rewardWei;
        // Silence is everybody's to prove.
        if (dispute.prover == address(0)) {
            amountWei += (rewardWei * challenger.bondWei) / _bondsOf(resultId, dispute);
        }
    }

    function _open(ResultId resultId) private view returns (Dispute storage dispute) {
        dispute = _disputes[resultId];
        if (dispute.opening.status != DisputeStatus.Open) revert DisputeNotOpen(resultId, dispute.opening.status);
    }

    function _requireChallenger(ResultId resultId, address account)
        private
        view
        returns (Challenger storage challenger)
    {
        challenger = _challengers[resultId][account];
        if (challenger.bondWei == 0) revert NotChallenger(resultId, account);
    }

    /// @dev A commitment that may be revealed now.
    function _requireRipe(ResultId resultId, Challenger storage challenger) private view returns (uint256 committedAt) {
        if (challenger.commitment == 0) revert CommitmentMissing(resultId, msg.sender);
        committedAt = challenger.committedAt;
        bool ripe = block.timestamp >= committedAt + MATURITY_SECONDS
            && block.number >= challenger.committedIn + MATURITY_BLOCKS;
        if (!ripe) revert MoveTooEarly(resultId, committedAt + MATURITY_SECONDS);
        if (block.timestamp > committedAt + REVEAL_SECONDS) revert MoveTooLate(resultId, committedAt + REVEAL_SECONDS);
    }

    /// @dev What the operator stands for, as the referee takes it. Without a trace there is nothing to judge.
    function _statementOf(Result calldata result, bytes32 traceRoot) private pure returns (bytes32) {
        if (traceRoot == 0) return 0;
        return keccak256(abi.encodePacked(bytes1(0x0b), result.modelId, result.inputRoot, result.outputRoot, traceRoot));
    }

    /// @dev Which fault a proof is about: fields at fixed places, see `docs/encoding.md`.
    function _faultOf(bytes calldata proof) private pure returns (uint8 kind, uint32 value, uint64 index) {
        if (proof.length < FAULT_OFFSET + 12) revert ProofTooShort(proof.length);
        kind = uint8(proof[1]);
        value = uint32(bytes4(proof[FAULT_OFFSET:FAULT_OFFSET + 4]));
        index = uint64(bytes8(proof[FAULT_OFFSET + 4:FAULT_OFFSET + 12]));
    }

    /// @dev Latest end: whoever joins in the last second still has every phase before it.
    function _endsAt(Dispute storage dispute) private view returns (uint256) {
        return uint256(dispute.opening.closesAt) + TRACE_SECONDS + DEMAND_SECONDS + DISCLOSE_SECONDS + COMMIT_SECONDS
            + REVEAL_SECONDS;
    }

    function _settlesAt(Dispute storage dispute) private view returns (uint256) {
        return dispute.prover == address(0) ? 0 : uint256(dispute.committedAt) + REVEAL_SECONDS;
    }

    function _bondsOf(ResultId resultId, Dispute storage dispute) private view returns (uint256) {
        return uint256(dispute.joinedWei) + _challengers[resultId][dispute.opening.opener].bondWei;
    }

    function _traceRoot(Result calldata result, Dispute storage dispute) private view returns (bytes32) {
        return result.traceRoot != 0 ? result.traceRoot : dispute.traceRoot;
    }

    function _demandId(ResultId resultId, address challenger, Target calldata target) private pure returns (bytes32) {
        return keccak256(abi.encode(resultId, challenger, target));
    }

    function _gasPrice() private view returns (uint256) {
        uint256 price = 3 * block.basefee;
        return price > FLOOR_GAS_PRICE_WEI ? price : FLOOR_GAS_PRICE_WEI;
    }
}
