// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {DisputeGame} from "../../../contracts/DisputeGame.sol";
import {IInferenceOracle} from "../../../contracts/interfaces/IInferenceOracle.sol";
import {IModelRegistry} from "../../../contracts/interfaces/IModelRegistry.sol";
import {IOperatorRegistry} from "../../../contracts/interfaces/IOperatorRegistry.sol";
import {IReferee} from "../../../contracts/interfaces/IReferee.sol";
import {ISignedResults} from "../../../contracts/interfaces/ISignedResults.sol";
import {ITraceVerifier} from "../../../contracts/interfaces/ITraceVerifier.sol";
import {Challenger, Demand, Dispute, DisputeStatus, Part, Target} from "../../../contracts/types/Dispute.sol";
import {ResultId} from "../../../contracts/types/Ids.sol";
import {DisputeParameters} from "../../../contracts/types/Parameters.sol";
import {CHEATS, Straight, SYMBOLIC} from "./Cheatcodes.sol";
import {World} from "./World.sol";

/// @dev Every other challenger of the dispute, taken together.
struct Rest {
    // Bonds, and what is locked for demands, of those who have not claimed.
    uint96 bondWei;
    uint80 lockedWei;
    // Bonds of those who have.
    uint96 claimedBondWei;
    uint80 spentWei;
    uint32 openDemands;
    // Demands of the one who makes the demand that is looked at, without that demand.
    uint8 ownDemands;
    uint80 ownLockedWei;
    // Shares of the reward that have been claimed.
    uint80 sharesWei;
}

/// @dev What the game's storage says of one dispute and those who take part.
struct Books {
    uint256 balanceWei;
    uint256 rewardsWei;
    uint256 strangerWei;
    Dispute dispute;
    Challenger opener;
    Challenger rival;
    Challenger third;
    Challenger stranger;
    Demand demand;
}

/// @title The game with storage that holds anything, and what must be true of it before and after every move.
/// @dev A move touches the caller, the opener, the prover whose place it takes and the challenger whose demand it answers.
/// The opener, a rival and a third cover every way in which those can be the same or different; everybody else is `Rest`.
abstract contract GameBooks {
    using Straight for bool;
    using Straight for uint256;

    address internal constant OPENER = address(0xA1);
    address internal constant RIVAL = address(0xA2);
    address internal constant THIRD = address(0xA3);
    address internal constant STRANGER = address(0xA4);
    address internal constant OPERATOR = address(0xB1);
    address internal constant VICTIM = address(0xB2);
    ResultId internal constant RESULT = ResultId.wrap(bytes32(uint256(0x5e)));
    uint256 internal constant REVEAL_SECONDS = 1200;
    uint40 internal constant ANSWERED = type(uint40).max;

    World internal world;
    DisputeGame internal game;

    function setUp() public {
        world = new World();
        game = new DisputeGame(
            IInferenceOracle(address(world)),
            IOperatorRegistry(address(world)),
            IModelRegistry(address(world)),
            ISignedResults(address(world)),
            IReferee(address(world)),
            ITraceVerifier(address(world)),
            DisputeParameters({
                tailSeconds: 1 days,
                maxDisputeSeconds: 7 days,
                traceSeconds: 3600,
                demandSeconds: 8 hours,
                discloseSeconds: 1800,
                commitSeconds: 1800,
                revealSeconds: uint32(REVEAL_SECONDS),
                floorGasPriceWei: 1 gwei
            })
        );
        SYMBOLIC.enableSymbolicStorage(address(game));
        CHEATS.deal(address(world), type(uint128).max);
        CHEATS.deal(OPENER, type(uint128).max);
        CHEATS.deal(RIVAL, type(uint128).max);
    }

    /// @dev What the chain shows at some moment.
    function _arrive(uint40 timestamp, uint32 number, uint48 baseFeeWei, uint96 balanceWei) internal {
        // No block has that time; it would count as the last second of whatever has no end.
        CHEATS.assume(timestamp != 0);
        CHEATS.warp(timestamp);
        CHEATS.roll(number);
        CHEATS.fee(baseFeeWei);
        CHEATS.deal(address(game), balanceWei);
    }

    function _target() internal pure returns (Target memory) {
        return Target({part: Part.Chunks, value: 7, level: 0, index: 3});
    }

    function _books(address demander) internal view returns (Books memory books) {
        books.balanceWei = address(game).balance;
        unchecked {
            books.rewardsWei = game.rewardOf(OPENER) + game.rewardOf(RIVAL) + game.rewardOf(THIRD)
                + game.rewardOf(OPERATOR) + game.rewardOf(VICTIM);
        }
        books.strangerWei = game.rewardOf(STRANGER);
        books.dispute = game.disputeOf(RESULT);
        books.opener = game.challengerOf(RESULT, OPENER);
        books.rival = game.challengerOf(RESULT, RIVAL);
        books.third = game.challengerOf(RESULT, THIRD);
        books.stranger = game.challengerOf(RESULT, STRANGER);
        books.demand = game.demandOf(game.demandIdOf(RESULT, demander, _target()));
    }

    /// @dev What the game owes because of the dispute, beyond rewards that can be withdrawn already.
    function _owed(Books memory books, Rest memory rest) internal pure returns (uint256) {
        bool refuted = books.dispute.opening.status == DisputeStatus.Refuted;
        bool waits = refuted.or(books.dispute.opening.status == DisputeStatus.Open);
        // SAFETY: nothing here has more than 96 bits, and shares are part of the reward.
        unchecked {
            uint256 posted =
                _posted(books.opener) + _posted(books.rival) + _posted(books.third) + rest.bondWei + rest.lockedWei;
            return posted.where(waits) + (uint256(books.dispute.rewardWei) - rest.sharesWei).where(refuted);
        }
    }

    function _posted(Challenger memory party) internal pure returns (uint256) {
        unchecked {
            return (uint256(party.bondWei) + party.lockedWei).where(!party.claimed);
        }
    }

    /// @dev The totals are the sums of their parts, and every part is in a state that moves lead to.
    function _holds(Books memory books, Rest memory rest, address demander) internal view returns (bool) {
        bool refuted = books.dispute.opening.status == DisputeStatus.Refuted;
        return _sumUp(books, rest).and(_isInPhase(books, rest)).and(_isSound(books.opener, refuted))
            .and(_isSound(books.rival, refuted)).and(_isSound(books.third, refuted)).and(_fits(books, rest, demander));
    }

    function _sumUp(Books memory books, Rest memory rest) private pure returns (bool) {
        Dispute memory dispute = books.dispute;
        // SAFETY: nothing here has more than 96 bits.
        unchecked {
            uint256 joinedWei = uint256(books.rival.bondWei) + books.third.bondWei + rest.bondWei + rest.claimedBondWei;
            uint256 spentWei =
                uint256(books.opener.spentWei) + books.rival.spentWei + books.third.spentWei + rest.spentWei;
            uint256 openDemands = uint256(books.opener.openDemands) + books.rival.openDemands + books.third.openDemands
                + rest.openDemands;
            return (joinedWei == dispute.joinedWei).and(spentWei == dispute.spentWei)
                .and(openDemands == dispute.openDemands).and((rest.openDemands != 0).or(rest.lockedWei == 0))
                .and(rest.sharesWei <= dispute.rewardWei);
        }
    }

    function _isInPhase(Books memory books, Rest memory rest) private view returns (bool) {
        Dispute memory dispute = books.dispute;
        DisputeStatus status = dispute.opening.status;
        bool settled = block.timestamp > uint256(dispute.committedAt) + REVEAL_SECONDS;
        bool refuted = status == DisputeStatus.Refuted;
        return (status == DisputeStatus.None).implies(_isBlank(books, rest))
            .and((status == DisputeStatus.Upheld).implies(dispute.openDemands == 0))
            .and((status == DisputeStatus.None).or((dispute.opening.opener == OPENER).and(books.opener.bondWei != 0)))
            .and(refuted.or((dispute.prover == address(0)).and(dispute.rewardWei == 0).and(dispute.proofCostGwei == 0)))
            .and(_isProven(dispute, RIVAL, books.rival)).and(_isProven(dispute, THIRD, books.third))
            .and(_anyClaimed(books, rest).implies(refuted.and((dispute.prover == address(0)).or(settled))));
    }

    /// @dev Who posted no bond has nothing to lose or to get back, and claims only what it proved; what is locked waits for
    /// an answer.
    function _isSound(Challenger memory party, bool refuted) private pure returns (bool) {
        bool blank = (party.lockedWei == 0).and(party.spentWei == 0).and(party.openDemands == 0)
            .and(party.commitment == 0).and(refuted.or(!party.claimed));
        return (party.bondWei != 0).or(blank).and((party.openDemands != 0).or(party.lockedWei == 0));
    }

    /// @dev Only a fault that was proven from behind a bond has cost anything.
    function _isProven(Dispute memory dispute, address account, Challenger memory party) private pure returns (bool) {
        return (dispute.prover != account).or(party.bondWei != 0).or(dispute.proofCostGwei == 0);
    }

    function _isBlank(Books memory books, Rest memory rest) private pure returns (bool) {
        Dispute memory dispute = books.dispute;
        return (dispute.joinedWei == 0).and(dispute.spentWei == 0).and(dispute.openDemands == 0)
            .and(dispute.prover == address(0)).and(dispute.rewardWei == 0).and(books.opener.bondWei == 0)
            .and(books.rival.bondWei == 0).and(books.third.bondWei == 0).and(rest.bondWei == 0).and(rest.lockedWei == 0);
    }

    function _anyClaimed(Books memory books, Rest memory rest) private pure returns (bool) {
        return books.opener.claimed.or(books.rival.claimed).or(books.third.claimed).or(rest.claimedBondWei != 0)
            .or(rest.sharesWei != 0);
    }

    /// @dev The demand that is looked at is part of what its challenger has open.
    function _fits(Books memory books, Rest memory rest, address demander) private pure returns (bool) {
        Challenger memory party = demander == OPENER ? books.opener : books.rival;
        bool open = (books.demand.dueAt != 0).and(books.demand.dueAt != ANSWERED);
        uint256 openCount = uint256(1).where(open);
        return open.or(books.demand.priceWei == 0).and(uint256(party.openDemands) == openCount + rest.ownDemands)
            .and(uint256(party.lockedWei) == uint256(books.demand.priceWei) + rest.ownLockedWei)
            .and((rest.ownDemands != 0).or(rest.ownLockedWei == 0));
    }
}
