// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

import {Bond} from "../../../contracts/types/Bond.sol";
import {Challenger, Dispute, DisputeStatus, Opening} from "../../../contracts/types/Dispute.sol";
import {ModelId, RequestId, ResultId} from "../../../contracts/types/Ids.sol";
import {Request} from "../../../contracts/types/Request.sol";
import {Result, Statement} from "../../../contracts/types/Result.sol";
import {CHEATS, Straight} from "./Cheatcodes.sol";
import {Books, GameBooks, Rest} from "./GameBooks.sol";
import {Lemmas} from "./Lemmas.sol";

/// @dev When a move is made, and what the game's balance is then.
struct Moment {
    uint40 timestamp;
    uint32 number;
    uint48 baseFeeWei;
    uint96 balanceWei;
}

/// @dev How much stake is there to be slashed.
struct Stake {
    bool isProposed;
    bool isNewlyBarred;
    uint80 bondWei;
    uint80 bondTakenWei;
    uint80 stakeTakenWei;
}

/// @title Every move of the game that moves money, from any state that the books allow.
/// @dev Each check proves that the books hold after the move too, and that the game's balance changed by exactly what it
/// owes more or less. By induction the same is true after any number of moves of any number of challengers.
contract GameMoves is GameBooks, Lemmas {
    using Straight for bool;
    using Straight for uint256;

    // Of one fault proof: as many bytes as the game itself reads.
    uint256 private constant PROOF_BYTES = 2 + 163 + 128 + 32 + 12;
    bytes32 private constant SALT = bytes32(uint256(0x5a17));

    function check_challenge(Rest memory rest, Moment memory moment, uint96 valueWei) public {
        Books memory before = _enter(rest, moment, OPENER);
        world.become(RESULT, true, true, 0, 0, 0);
        CHEATS.prank(OPENER);
        try game.challenge{value: valueWei}(_request(), OPERATOR, 0, 0) {}
        catch {
            return;
        }
        assert(before.dispute.opening.status == DisputeStatus.None);
        Books memory later = _leave(before, rest, OPENER);
        Opening memory opening = later.dispute.opening;
        assert(
            (opening.openedAt == moment.timestamp).and(opening.closesAt == uint256(moment.timestamp) + 1 hours)
                .and(opening.opener == OPENER).and(later.opener.bondWei == valueWei)
        );
    }

    function check_join(Rest memory rest, Moment memory moment, uint96 valueWei) public {
        Books memory before = _enter(rest, moment, RIVAL);
        CHEATS.prank(RIVAL);
        try game.join{value: valueWei}(RESULT) {}
        catch {
            return;
        }
        assert(before.rival.bondWei == 0);
        Books memory later = _leave(before, rest, RIVAL);
        assert((later.rival.bondWei == valueWei).and(later.dispute.opening.closesAt >= moment.timestamp));
    }

    function check_demand(Rest memory rest, Moment memory moment, uint96 valueWei) public {
        Books memory before = _enter(rest, moment, RIVAL);
        world.become(RESULT, true, true, 0, 0, 0);
        CHEATS.prank(RIVAL);
        try game.demand{value: valueWei}(_result(false), _target()) {}
        catch {
            return;
        }
        _leave(before, rest, RIVAL);
    }

    function check_disclose(Rest memory rest, Moment memory moment, bool asOpener) public {
        address demander = asOpener ? OPENER : RIVAL;
        Books memory before = _enter(rest, moment, demander);
        world.become(RESULT, true, true, 0, 0, 0);
        Result memory result = _result(false);
        try game.disclose(result, demander, _target(), "") {}
        catch {
            return;
        }
        uint256 earnedWei = before.demand.priceWei;
        Books memory later = _leave(before, rest, demander);
        assert(later.rewardsWei == before.rewardsWei + earnedWei);
        // What has been paid for is not paid for again.
        try game.disclose(result, demander, _target(), "") {
            assert(false);
        } catch {}
    }

    function check_commitFault(Rest memory rest, Moment memory moment, bytes32 commitment) public {
        Books memory before = _enter(rest, moment, RIVAL);
        CHEATS.prank(RIVAL);
        try game.commitFault(RESULT, commitment) {}
        catch {
            return;
        }
        Challenger memory party = _leave(before, rest, RIVAL).rival;
        assert(
            (party.commitment == commitment).and(party.committedAt == moment.timestamp)
                .and(party.committedIn == moment.number).and(party.bondWei == before.rival.bondWei)
        );
    }

    function check_proveFault(Rest memory rest, Moment memory moment, Stake memory stake, bool offchain) public {
        Books memory before = _enter(rest, moment, RIVAL);
        CHEATS.assume(before.dispute.opening.status != DisputeStatus.Refuted);
        _prove(before, stake, offchain);
        Books memory later = _leave(before, rest, RIVAL);
        assert(later.dispute.rewardWei == _rewardOf(world.slashedWei()));
        assert(later.dispute.prover == RIVAL);
    }

    function check_takeOver(Rest memory rest, Moment memory moment, Stake memory stake, uint8 who) public {
        Books memory before = _enter(rest, moment, RIVAL);
        CHEATS.assume(before.dispute.opening.status == DisputeStatus.Refuted);
        address former = who == 0 ? OPENER : who == 1 ? RIVAL : THIRD;
        CHEATS.assume(before.dispute.prover == former);
        _prove(before, stake, false);
        // Nobody has claimed a share that would now be another.
        assert(rest.sharesWei == 0 && rest.claimedBondWei == 0);
        assert(!before.opener.claimed && !before.rival.claimed && !before.third.claimed);
        Books memory later = _leave(before, rest, RIVAL);
        assert(later.rewardsWei == before.rewardsWei && later.dispute.rewardWei == before.dispute.rewardWei);
        assert(later.dispute.committedAt < before.dispute.committedAt);
    }

    function check_convictSilence(Rest memory rest, Moment memory moment, Stake memory stake, bool offchain) public {
        Books memory before = _enter(rest, moment, RIVAL);
        Result memory result = _become(stake, offchain);
        try game.convictSilence(result, _request(), RIVAL, _target()) {}
        catch {
            return;
        }
        assert(before.demand.dueAt != ANSWERED || before.dispute.traceRoot == 0);
        Books memory later = _leave(before, rest, RIVAL);
        assert(later.dispute.rewardWei == _rewardOf(world.slashedWei()));
    }

    /// @dev It is four moves in a row, two refutations and two convictions, each from the state that the last one left. One
    /// at a time takes anything, so that each is looked at from any state, as every other move is.
    function check_equivocation(Rest memory rest, Moment memory moment, Stake memory stake, uint8 paying) public {
        Books memory before = _enter(rest, moment, RIVAL);
        Result memory result = _become(stake, false);
        CHEATS.assume(paying < 4);
        world.payOnly(paying);
        Result memory other = _result(false);
        other.outputRoot = bytes32(uint256(0xabad));
        bytes memory signature = new bytes(65);
        (signature[31], signature[63], signature[64]) = (0x01, 0x01, 0x1b);
        CHEATS.prank(RIVAL);
        try game.proveEquivocation(Statement(result, signature), _request(), Statement(other, signature), _request()) {}
        catch {
            return;
        }
        _leave(before, rest, RIVAL);
    }

    function check_slashUse(Rest memory rest, Moment memory moment, Stake memory stake, bool hasVictim) public {
        Books memory before = _enter(rest, moment, RIVAL);
        CHEATS.assume(game.convictedBy(RESULT) == RIVAL);
        world.name(OPERATOR, hasVictim ? VICTIM : address(0));
        _become(stake, true);
        try game.slashUse(RESULT, STRANGER) {}
        catch {
            return;
        }
        _leave(before, rest, RIVAL);
    }

    function check_collect(Rest memory rest, Moment memory moment, Stake memory stake) public {
        Books memory before = _enter(rest, moment, RIVAL);
        CHEATS.assume(game.convictedBy(RESULT) == RIVAL);
        Result memory result = _become(stake, true);
        try game.collect(result) {}
        catch {
            return;
        }
        _leave(before, rest, RIVAL);
    }

    function check_resolve(Rest memory rest, Moment memory moment, bool offchain) public {
        Books memory before = _enter(rest, moment, RIVAL);
        world.become(RESULT, true, true, 0, 0, 0);
        Result memory result = _result(offchain);
        // Step by step, each for the next one. There is enough to burn a part of the bonds: what is owed and what can be
        // withdrawn are sums of ten numbers below 2^128, which nothing makes wrap.
        uint256 owedWei = _owed(before, rest);
        uint256 bondsWei = uint256(before.dispute.joinedWei) + before.opener.bondWei;
        CHEATS.assume(before.balanceWei >= owedWei);
        _knowShare(bondsWei, 30, 100);
        try game.resolve(result, _request()) {}
        catch {
            return;
        }
        // As long as nobody is convicted, nobody has claimed; and no demand is left that could be answered.
        assert((rest.claimedBondWei == 0).and(before.dispute.openDemands == 0).and(rest.lockedWei == 0));
        assert((before.opener.lockedWei == 0).and(before.rival.lockedWei == 0).and(before.third.lockedWei == 0));
        assert((!before.opener.claimed).and(!before.rival.claimed).and(!before.third.claimed));
        assert(owedWei == bondsWei);
        // What the bonds do not pay to operator and requester is burnt.
        Books memory later = _books(RIVAL);
        unchecked {
            assert(before.balanceWei + later.rewardsWei == later.balanceWei + before.rewardsWei + bondsWei);
        }
        assert(_owed(later, rest) == 0);
        _leave(before, rest, RIVAL);
        try game.resolve(result, _request()) {
            assert(false);
        } catch {}
    }

    function check_claim(Rest memory rest, Moment memory moment, uint8 who) public {
        Books memory before = _enter(rest, moment, RIVAL);
        address account = who == 0 ? OPENER : who == 1 ? RIVAL : THIRD;
        Challenger memory party = who == 0 ? before.opener : who == 1 ? before.rival : before.third;
        uint256 bondsWei = uint256(before.dispute.joinedWei) + before.opener.bondWei;
        _knowShares(before, party, bondsWei);
        try game.claim(RESULT, account) {}
        catch {
            return;
        }
        Books memory later = _books(RIVAL);
        uint256 shareWei = later.rewardsWei - before.rewardsWei - party.bondWei - party.lockedWei;
        // Beyond the share the game owes what it did before: `shares.smt2` shows that all shares fit the reward.
        bool kept = _owed(later, rest) + party.bondWei + party.lockedWei == _owed(before, rest);
        assert(kept.and(shareWei == _shareOf(before, party, account, bondsWei)).and(!party.claimed));
        assert((later.balanceWei == before.balanceWei).and(_isUntouched(before, later)).and(_holds(later, rest, RIVAL)));
        try game.claim(RESULT, account) {
            assert(false);
        } catch {}
    }

    function check_withdraw(Rest memory rest, Moment memory moment) public {
        Books memory before = _enter(rest, moment, RIVAL);
        uint256 had = RIVAL.balance;
        uint256 owed = game.rewardOf(RIVAL);
        try game.withdrawFor(payable(RIVAL)) {}
        catch {
            return;
        }
        _leave(before, rest, RIVAL);
        assert(RIVAL.balance == had + owed && game.rewardOf(RIVAL) == 0);
        try game.withdrawFor(payable(RIVAL)) {
            assert(false);
        } catch {}
    }

    /// @dev An answer in time is taken. Only what was spent in all must fit its field: 2^80 wei are a million ether.
    function check_answerIsTaken(Rest memory rest, Moment memory moment) public {
        Books memory before = _enter(rest, moment, RIVAL);
        _assumeCreditsFit();
        world.become(RESULT, true, true, 0, 0, 0);
        bool waits = (before.demand.dueAt >= moment.timestamp).and(before.demand.dueAt != ANSWERED)
            .and(before.demand.dueAt != 0);
        bool fits = uint256(before.dispute.spentWei) + before.demand.priceWei < 1 << 80;
        CHEATS.assume((before.dispute.opening.status == DisputeStatus.Open).and(waits).and(fits));
        try game.disclose(_result(false), RIVAL, _target(), "") {}
        catch {
            assert(false);
        }
    }

    /// @dev Whoever posted a bond against a refuted result gets it back as soon as the prover is settled.
    function check_claimIsPaid(Rest memory rest, Moment memory moment, uint8 who, uint8 whose) public {
        Books memory before = _enter(rest, moment, RIVAL);
        _assumeCreditsFit();
        Dispute memory dispute = before.dispute;
        CHEATS.assume(dispute.prover == (whose == 0 ? address(0) : whose == 1 ? OPENER : whose == 2 ? RIVAL : THIRD));
        bool settled =
            (dispute.prover == address(0)).or(moment.timestamp > uint256(dispute.committedAt) + REVEAL_SECONDS);
        CHEATS.assume((dispute.opening.status == DisputeStatus.Refuted).and(settled));
        Challenger memory party = who == 0 ? before.opener : before.rival;
        CHEATS.assume((party.bondWei != 0).and(!party.claimed));
        // Nobody sends from there.
        CHEATS.assume(game.challengerOf(RESULT, address(0)).spentWei == 0);
        _knowShares(before, party, uint256(dispute.joinedWei) + before.opener.bondWei);
        try game.claim(RESULT, who == 0 ? OPENER : RIVAL) {}
        catch {
            assert(false);
        }
    }

    /// @dev Without a conviction every dispute ends: after its last second, with every demand answered, anyone ends it.
    function check_endIsReached(Rest memory rest, Moment memory moment, bool offchain) public {
        Books memory before = _enter(rest, moment, RIVAL);
        _assumeCreditsFit();
        world.become(RESULT, true, true, 0, 0, 0);
        bool ready = (before.dispute.opening.status == DisputeStatus.Open).and(before.dispute.openDemands == 0)
            .and(before.dispute.traceRoot != 0).and(moment.timestamp > game.endsAt(RESULT));
        CHEATS.assume(ready);
        _knowShare(uint256(before.dispute.joinedWei) + before.opener.bondWei, 30, 100);
        try game.resolve(_result(offchain), _request()) {}
        catch {
            assert(false);
        }
    }

    /// @dev What a party gets, in the words of `docs/analysis.md`.
    function _shareOf(Books memory books, Challenger memory party, address account, uint256 bondsWei)
        private
        view
        returns (uint256 shareWei)
    {
        Dispute memory dispute = books.dispute;
        uint256 left = dispute.rewardWei;
        if (dispute.spentWei != 0) {
            uint256 repaidWei = Math.min(dispute.spentWei, left / 2);
            uint256 ownWei = game.challengerOf(RESULT, dispute.prover).spentWei;
            uint256 firstWei = Math.min(ownWei, repaidWei);
            if (account == dispute.prover) {
                shareWei = firstWei;
            } else if (party.spentWei != 0) {
                shareWei = ((repaidWei - firstWei) * party.spentWei) / (dispute.spentWei - ownWei);
            }
            left -= repaidWei;
        }
        uint256 openerWei = (left * 10) / 100;
        if (account == OPENER) shareWei += openerWei;
        if (account == dispute.prover) shareWei += left - openerWei;
        if (dispute.prover == address(0)) shareWei += ((left - openerWei) * party.bondWei) / bondsWei;
    }

    /// @dev There is less ether than a credit can be.
    function _assumeCreditsFit() private view {
        bool challengers = (game.rewardOf(OPENER) < 1 << 128).and(game.rewardOf(RIVAL) < 1 << 128);
        CHEATS.assume(challengers.and(game.rewardOf(OPERATOR) < 1 << 128).and(game.rewardOf(VICTIM) < 1 << 128));
    }

    /// @dev What the shares of the reward are made of.
    function _knowShares(Books memory books, Challenger memory party, uint256 bondsWei) private view {
        Dispute memory dispute = books.dispute;
        uint256 ownWei = game.challengerOf(RESULT, dispute.prover).spentWei;
        uint256 repaidWei = _knowMin(dispute.spentWei, dispute.rewardWei / 2);
        uint256 firstWei = _knowMin(ownWei, repaidWei);
        // Where nothing was spent, the whole reward is left.
        _knowShare(dispute.rewardWei, 10, 100);
        unchecked {
            _knowShare(repaidWei - firstWei, party.spentWei, dispute.spentWei - ownWei);
            uint256 left = dispute.rewardWei - repaidWei;
            _knowShare(left - _knowShare(left, 10, 100), party.bondWei, bondsWei);
        }
    }

    function _enter(Rest memory rest, Moment memory moment, address demander) private returns (Books memory books) {
        // Far from where a due time would look like an answered demand: before the year 36,000.
        CHEATS.assume(moment.timestamp < type(uint40).max - 365 days);
        _arrive(moment.timestamp, moment.number, moment.baseFeeWei, moment.balanceWei);
        books = _books(demander);
        CHEATS.assume(_holds(books, rest, demander).and(books.rewardsWei < 1 << 128));
        unchecked {
            CHEATS.assume(books.balanceWei >= books.rewardsWei + _owed(books, rest));
        }
    }

    /// @dev The books hold, and the game's balance changed by what it owes more or less. Gives the books afterwards.
    function _leave(Books memory before, Rest memory rest, address demander) private view returns (Books memory books) {
        books = _books(demander);
        unchecked {
            uint256 owedWei = books.rewardsWei + _owed(books, rest);
            uint256 formerWei = before.rewardsWei + _owed(before, rest);
            bool kept = books.balanceWei + formerWei == before.balanceWei + owedWei;
            assert(kept.and(_holds(books, rest, demander)).and(_isUntouched(before, books)));
        }
    }

    /// @dev Nobody else has more or less than before.
    function _isUntouched(Books memory before, Books memory books) private pure returns (bool) {
        Challenger memory was = before.stranger;
        Challenger memory stays = books.stranger;
        return (books.strangerWei == before.strangerWei).and(was.bondWei == stays.bondWei)
            .and(was.lockedWei == stays.lockedWei).and(was.spentWei == stays.spentWei)
            .and(was.commitment == stays.commitment).and(was.claimed == stays.claimed)
            .and(was.openDemands == stays.openDemands);
    }

    function _prove(Books memory before, Stake memory stake, bool offchain) private {
        bytes memory proof = new bytes(PROOF_BYTES);
        bytes32 commitment = game.faultCommitment(RESULT, RIVAL, 0, 0, 0, SALT);
        CHEATS.assume(before.rival.commitment == commitment);
        Result memory result = _become(stake, offchain);
        CHEATS.prank(RIVAL);
        game.proveFault(result, _request(), proof, SALT);
    }

    function _become(Stake memory stake, bool offchain) private returns (Result memory) {
        world.become(
            RESULT, stake.isProposed, stake.isNewlyBarred, stake.bondWei, stake.bondTakenWei, stake.stakeTakenWei
        );
        return _result(offchain);
    }

    function _rewardOf(uint256 slashedWei) private pure returns (uint256 rewardWei) {
        (rewardWei,) = Bond.split(slashedWei);
    }

    function _request() private pure returns (Request memory request) {
        request.refundTo = VICTIM;
    }

    function _result(bool offchain) private view returns (Result memory result) {
        if (!offchain) result.requestId = _request().idOf(address(world));
        result.operator = OPERATOR;
    }
}
