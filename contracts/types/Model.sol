// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {ModelId} from "./Ids.sol";

/// @dev The arithmetic that a model promises.
enum Profile {
    // Not registered.
    None,
    // Correctly rounded: the same bits on every machine; any wrong element is a fault.
    Exact,
    // Within a proven error bound of the exact value; anything outside it is a fault.
    Bounded,
    // No arithmetic promise: accountable by signature and equivocation only, never by a fault proof.
    Signed
}

/// @dev Everything that identifies a model. `programRoot`, `weightsRoot` and `limitsHash` are zero exactly when the
/// profile is `Signed`.
struct Model {
    // Version of this identity scheme; 1.
    uint16 version;
    Profile profile;
    // sha256 of the .onnx bytes.
    bytes32 artifactHash;
    bytes32 programRoot;
    bytes32 weightsRoot;
    // keccak256(abi.encode(TensorSpec[] inputs, TensorSpec[] outputs)); TensorSpec = (string name, uint8 dtype, int64[] dims).
    bytes32 ioHash;
    bytes32 limitsHash;
}

using ModelLibrary for Model global;

library ModelLibrary {
    uint16 internal constant VERSION = 1;

    /// @notice The content address of a model.
    function id(Model memory model) internal pure returns (ModelId) {
        return ModelId.wrap(keccak256(abi.encode(model)));
    }
}
