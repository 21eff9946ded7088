// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {ModelId, RequestId} from "./Ids.sol";

/// @dev When the consumer is called.
enum Assurance {
    // Once, after the challenge window.
    Final,
    // At once when a result is proposed, then again with the final result or a refutation notice.
    Provisional
}

/// @dev What a requester chooses. `Request` adds what the oracle observes: requester and fee.
struct RequestParams {
    ModelId modelId;
    // Commitment of the input tensors; see `TensorPayload.sol`.
    bytes32 inputRoot;
    // The only operator that may answer; zero = any operator with an offer for the model.
    address operator;
    // Who is credited with refunds and with compensation.
    address refundTo;
    // What the requester stands to lose if a false result becomes final; sizes the operator's bond.
    uint96 valueAtRiskWei;
    // Gas given to the callback; zero = no callback.
    uint32 callbackGas;
    // Challenge window after a proposal.
    uint32 windowSeconds;
    // Last second in which a result may be proposed.
    uint40 deadline;
    Assurance assurance;
    // Makes otherwise equal requests distinct; handed back to the consumer in every callback.
    bytes32 salt;
}

/// @dev The preimage of a `RequestId`: passed back in calldata by every later call, never stored.
struct Request {
    ModelId modelId;
    bytes32 inputRoot;
    address requester;
    address operator;
    address refundTo;
    uint96 feeWei;
    uint96 valueAtRiskWei;
    uint32 callbackGas;
    uint32 windowSeconds;
    uint40 deadline;
    Assurance assurance;
    bytes32 salt;
}

using RequestLibrary for Request global;

library RequestLibrary {
    // A `Request` is 12 words, all static.
    uint256 private constant WORDS = 12;

    /// @notice The id of a request on this chain at `oracle`: keccak256(abi.encode(block.chainid, oracle, request)).
    /// It binds the content, so that after a reorg another input can never stand under an id for which an operator
    /// already signed.
    /// @dev SAFETY: the words are hashed as they stand in calldata; one with dirty upper bits gives an id under which
    /// nothing was ever requested.
    function id(Request calldata request, address oracle) internal view returns (RequestId requestId) {
        assembly ("memory-safe") {
            let scratch := mload(0x40)
            mstore(scratch, chainid())
            mstore(add(scratch, 32), oracle)
            calldatacopy(add(scratch, 64), request, mul(32, WORDS))
            requestId := keccak256(scratch, mul(32, add(WORDS, 2)))
        }
    }

    /// @notice The id of a request that is being made.
    function idOf(Request memory request, address oracle) internal view returns (RequestId requestId) {
        assembly ("memory-safe") {
            let scratch := mload(0x40)
            mstore(scratch, chainid())
            mstore(add(scratch, 32), oracle)
            mcopy(add(scratch, 64), request, mul(32, WORDS))
            requestId := keccak256(scratch, mul(32, add(WORDS, 2)))
        }
    }
}
