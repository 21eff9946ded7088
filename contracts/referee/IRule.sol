// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @dev One element that a step is claimed to have written. Everything in it has been checked against the statement's
/// roots; offsets count from the start of the proof's bytes.
struct Claim {
    // Whether any value within the tolerances of the profile `bounded` is right.
    bool bounded;
    // What the step does, and the element type of what it writes.
    uint256 rule;
    uint256 dtype;
    // The element as the trace has it, right-aligned, and whether its type may hold these bits at all.
    uint256 bits;
    bool canonical;
    // Where the step's body begins and ends.
    uint256 bodyStart;
    uint256 bodyEnd;
    // The element's index over the step's axes, and whether those make up the output.
    uint256[] coordinates;
    bool axesFit;
    uint256 witness;
    // Tensors whose data is opened; see `OpenedData`.
    uint256[] opened;
}

/// @title The referee of one family of rules. Deployed once, called by `Referee` alone.
interface IRule {
    /// @notice Whether the claimed element is not what the step gives it, or the step gives it no value.
    /// @dev Reverts where the step contradicts itself, or the proof does not show enough to tell.
    function refutes(Claim calldata claim, bytes calldata proof) external pure returns (bool);
}
