// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {ModelId, RequestId} from "./Ids.sol";

/// @dev The statement that an operator's signer swears to (EIP-712).
struct Result {
    // Zero for a result that was asked for off chain.
    RequestId requestId;
    ModelId modelId;
    bytes32 inputRoot;
    bytes32 outputRoot;
    // May be zero in `exact` and `signed`.
    bytes32 traceRoot;
    address operator;
    // On-chain results: the request's deadline.
    uint64 expiry;
}

/// @dev What a proposer adds to a request; with the request it determines the whole `Result`.
struct Answer {
    address operator;
    bytes32 traceRoot;
    // Canonical payload of the output tensors.
    bytes output;
}

/// @dev A result and the signature under it.
struct Statement {
    Result result;
    bytes signature;
}

using ResultLibrary for Result global;

library ResultLibrary {
    bytes32 internal constant TYPEHASH = keccak256(
        "Result(bytes32 requestId,bytes32 modelId,bytes32 inputRoot,bytes32 outputRoot,bytes32 traceRoot,address operator,uint64 expiry)"
    );

    // A `Result` is 7 words, all static.
    uint256 private constant WORDS = 7;

    /// @notice The EIP-712 struct hash: keccak256(abi.encode(TYPEHASH, result)).
    function structHash(Result memory result) internal pure returns (bytes32 hash) {
        bytes32 typehash = TYPEHASH;
        assembly ("memory-safe") {
            let scratch := mload(0x40)
            mstore(scratch, typehash)
            mcopy(add(scratch, 32), result, mul(32, WORDS))
            hash := keccak256(scratch, mul(32, add(WORDS, 1)))
        }
    }
}
