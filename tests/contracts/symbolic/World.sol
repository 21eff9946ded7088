// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Target} from "../../../contracts/types/Dispute.sol";
import {ModelId, RequestId, ResultId} from "../../../contracts/types/Ids.sol";
import {Profile} from "../../../contracts/types/Model.sol";
import {Request} from "../../../contracts/types/Request.sol";
import {RequestState, Status} from "../../../contracts/types/RequestState.sol";
import {Result} from "../../../contracts/types/Result.sol";
import {CHEATS} from "./Cheatcodes.sol";

/// @title Everything that a dispute game calls, answering whatever it is told to.
/// @dev A proof over all answers covers every answer that the real contracts could give. Slashed stake is really paid.
contract World {
    ResultId public resultId;
    bool public isProposed;
    bool public isNewlyBarred;
    uint256 public bondWei;
    // What is taken from bonds, and from other stake: any part of what is asked for.
    uint256 public bondTakenWei;
    uint256 public stakeTakenWei;
    uint256 public slashedWei;
    // Which of a move's slashes takes anything; beyond every number, all do.
    uint256 private _paying = type(uint256).max;
    uint256 private _slashes;
    address public user;
    address public victim;

    receive() external payable {}

    function become(
        ResultId resultId_,
        bool isProposed_,
        bool isNewlyBarred_,
        uint256 bondWei_,
        uint256 bondTakenWei_,
        uint256 stakeTakenWei_
    ) external {
        (resultId, isProposed, isNewlyBarred) = (resultId_, isProposed_, isNewlyBarred_);
        (bondWei, bondTakenWei, stakeTakenWei) = (bondWei_, bondTakenWei_, stakeTakenWei_);
        slashedWei = 0;
    }

    /// @dev Only one slash of the next move takes anything: the first is 0.
    function payOnly(uint256 paying) external {
        (_paying, _slashes) = (paying, 0);
    }

    function name(address user_, address victim_) external {
        (user, victim) = (user_, victim_);
    }

    function digestOf(Result calldata) external view returns (ResultId) {
        return resultId;
    }

    function dispute(Request calldata, address, bytes32, bytes32) external view returns (ResultId, uint256) {
        return (resultId, block.timestamp + 1 hours);
    }

    function uphold(Request calldata, ResultId) external pure {}

    function refute(Request calldata, address, ResultId) external view returns (bool) {
        return isProposed;
    }

    function bar(Request calldata, address) external view returns (bool) {
        return isNewlyBarred;
    }

    function bondFor(uint256) external view returns (uint256) {
        return bondWei;
    }

    function stateOf(RequestId) external pure returns (RequestState memory state) {
        state.status = Status.Proposed;
    }

    function signerNotAfter(address, address) external pure returns (uint256) {
        return type(uint256).max;
    }

    function profileOf(ModelId) external pure returns (Profile) {
        return Profile.Exact;
    }

    function slash(address, uint256 amountWei, bool fromBond) external returns (uint256 takenWei) {
        if (_paying == type(uint256).max || _paying == _slashes++) takenWei = fromBond ? bondTakenWei : stakeTakenWei;
        CHEATS.assume(takenWei <= amountWei);
        slashedWei += takenWei;
        (bool paid,) = msg.sender.call{value: takenWei}("");
        assert(paid);
    }

    function closeSlashed(ResultId, address) external view returns (address, address, uint256) {
        return (user, victim, bondWei);
    }

    function check(bytes32, bytes calldata) external pure returns (bool) {
        return true;
    }

    function check(bytes calldata, Target calldata, bytes32) external pure {}

    function isPlausible(Target calldata) external pure returns (bool) {
        return true;
    }
}
