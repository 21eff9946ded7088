// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Target} from "../types/Dispute.sol";

/// @title Checks what an operator shows of a trace, and of the model that made it, against their roots.
/// @notice Stateless and immutable.
interface ITraceVerifier {
    /// @notice Thrown when what is shown does not lead to the root, or is not what was wanted.
    error DisclosureMismatch();

    /// @notice Whether some trace or model could have what is wanted. Trees have at most 2^32 leaves.
    /// @param target What is wanted.
    function isPlausible(Target calldata target) external pure returns (bool);

    /// @notice The trace root over the data roots of all values.
    /// @param dataRoots Data root of each value, in order.
    function rootOf(bytes32[] calldata dataRoots) external pure returns (bytes32);

    /// @notice Reverts unless a disclosure shows the target.
    /// @param disclosure The answer, encoded as `Disclosure` and `ProgramDisclosure` say.
    /// @param target What is wanted.
    /// @param root Root of the trace; for parts of a model, the model's id.
    function check(bytes calldata disclosure, Target calldata target, bytes32 root) external pure;
}
