// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Target} from "../types/Dispute.sol";

/// @title Checks what an operator shows of a trace against its root.
/// @notice Stateless and immutable.
interface ITraceVerifier {
    /// @notice Thrown when what is shown does not lead to the trace root, or is not what was wanted.
    error DisclosureMismatch();

    /// @notice Whether some trace could have what is wanted. Trees have at most 2^32 leaves.
    /// @param target What is wanted.
    function isPlausible(Target calldata target) external pure returns (bool);

    /// @notice The trace root over the data roots of all values.
    /// @param dataRoots Data root of each value, in order.
    function rootOf(bytes32[] calldata dataRoots) external pure returns (bytes32);

    /// @notice Reverts unless a disclosure shows the target under the trace root.
    /// @param disclosure An ABI-encoded `Disclosure`.
    /// @param target What is wanted.
    /// @param traceRoot Root of the trace.
    function check(bytes calldata disclosure, Target calldata target, bytes32 traceRoot) external pure;
}
