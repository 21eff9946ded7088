// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IInferenceConsumer} from "../../contracts/interfaces/IInferenceConsumer.sol";
import {FailureCode} from "../../contracts/types/Failure.sol";
import {RequestId, ResultId} from "../../contracts/types/Ids.sol";

/// @title A consumer, operator or wallet that does what a test tells it.
contract Puppet is IInferenceConsumer {
    enum Behaviour {
        Accept,
        Revert,
        WasteGas,
        ReturnBomb,
        Act
    }

    Behaviour public behaviour;
    bool public refusesEther;
    address public target;
    bytes public data;
    // What came of the last act.
    bool public actSucceeded;
    bytes public actReturned;

    event ResultReceived(
        RequestId requestId, bytes32 salt, ResultId resultId, uint8 round, bool isFinal, bytes output, uint256 gasLeft
    );
    event RefutationReceived(RequestId requestId, bytes32 salt, uint8 round, bool reopened);
    event FailureReceived(RequestId requestId, bytes32 salt, FailureCode code);

    error Unwilling();

    receive() external payable {
        if (behaviour == Behaviour.ReturnBomb) _bomb();
        if (behaviour == Behaviour.Act) _act();
        if (refusesEther) revert Unwilling();
    }

    function behave(Behaviour behaviour_) external {
        behaviour = behaviour_;
    }

    function refuseEther(bool refuses) external {
        refusesEther = refuses;
    }

    /// @dev In every callback from now on: calls `target_` with `data_`, and keeps what comes of it.
    function actOn(address target_, bytes calldata data_) external {
        behaviour = Behaviour.Act;
        target = target_;
        data = data_;
    }

    /// @dev Passes a call on, value and errors included.
    function execute(address to, bytes calldata call_) external payable returns (bytes memory) {
        (bool succeeded, bytes memory returned) = to.call{value: msg.value}(call_);
        if (succeeded) return returned;
        assembly ("memory-safe") {
            revert(add(returned, 32), mload(returned))
        }
    }

    /// @dev ERC-1271: a wallet that calls every signature its own.
    function isValidSignature(bytes32, bytes calldata) external pure returns (bytes4) {
        return this.isValidSignature.selector;
    }

    function onInferenceResult(
        RequestId requestId,
        bytes32 salt,
        ResultId resultId,
        uint8 round,
        bool isFinal,
        bytes calldata output
    ) external {
        emit ResultReceived(requestId, salt, resultId, round, isFinal, output, gasleft());
        _perform();
    }

    function onInferenceRefuted(RequestId requestId, bytes32 salt, uint8 round, bool reopened) external {
        emit RefutationReceived(requestId, salt, round, reopened);
        _perform();
    }

    function onInferenceFailed(RequestId requestId, bytes32 salt, FailureCode code) external {
        emit FailureReceived(requestId, salt, code);
        _perform();
    }

    function _perform() private {
        if (behaviour == Behaviour.Revert) revert Unwilling();
        if (behaviour == Behaviour.WasteGas) {
            assembly ("memory-safe") {
                invalid()
            }
        }
        if (behaviour == Behaviour.ReturnBomb) _bomb();
        if (behaviour == Behaviour.Act) _act();
    }

    function _bomb() private pure {
        assembly {
            revert(0, 250000)
        }
    }

    function _act() private {
        (actSucceeded, actReturned) = target.call(data);
    }
}
