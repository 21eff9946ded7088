// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {RequestId} from "./Ids.sol";

/// @dev Why an operator refuses to answer.
enum FailureCode {
    // The payload is malformed, or does not fit the model's schema, or does not match the input root.
    BadInput,
    // The input, or a value of the run, is NaN or infinite where the model forbids it.
    NotFinite,
    // Input or output exceeds a size limit.
    TooLarge,
    // The operator cannot run this model.
    Unsupported,
    // An input given by reference could not be fetched.
    InputUnavailable,
    // The run broke a time or memory limit.
    LimitExceeded,
    // The runtime failed on a well-formed input.
    ExecutionFailed
}

/// @dev A signed refusal (EIP-712).
struct Failure {
    RequestId requestId;
    address operator;
    FailureCode code;
}

using FailureLibrary for Failure global;

library FailureLibrary {
    bytes32 internal constant TYPEHASH = keccak256("Failure(bytes32 requestId,address operator,uint8 code)");

    /// @notice The EIP-712 struct hash.
    function structHash(Failure memory failure) internal pure returns (bytes32) {
        return keccak256(abi.encode(TYPEHASH, failure));
    }
}
