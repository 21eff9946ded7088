// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @title The referee: says from a fault proof alone whether what was stated of a run is wrong.
/// @notice Twin of `sworn.referee.check`. Proofs are encoded as `docs/encoding.md` says, the arithmetic is that of
/// `docs/arithmetic.md`. A proof that does not belong to the statement, lacks something or holds something that it
/// should not reverts and convicts nobody; so does running out of gas. Callers must not catch either.
interface IReferee {
    /// @notice Thrown when bytes are no fault proof: they end early, go on, or hold a number that means nothing.
    /// @param offset Where in the proof.
    error FaultProofMalformed(uint256 offset);
    /// @notice Thrown when a proof is about another statement than the one that it is held against.
    error StatementDiffers(bytes32 expected, bytes32 actual);
    /// @notice Thrown when the profile of the proof's model promises no arithmetic.
    error ProfileUnprovable(uint256 profile);
    /// @notice Thrown when what a proof opens does not lead to the root that it should.
    error RootDiffers(bytes32 expected, bytes32 actual);
    /// @notice Thrown when the hashes of an opening are too few or too many.
    error SiblingsMiscounted(uint256 given);
    /// @notice Thrown when a proof lacks what its kind needs, or holds what its kind does not need.
    error EvidenceUnfit(uint256 kind);
    /// @notice Thrown when the value or the element at fault does not exist, or the step does not write it.
    error ElementMissing(uint256 value, uint256 index);
    /// @notice Thrown when the judgement needs an element that is not opened, or a tensor of another length.
    error ElementNotOpened(uint256 tensor, uint256 index);
    /// @notice Thrown when a step contradicts itself.
    /// @param hint Where the referee noticed: a place in the calldata, or the number that contradicts the rest.
    error StepMalformed(uint256 hint);
    /// @notice Thrown when a function is not defined for these operands, types or parameters.
    error FunctionUndefined(uint256 number);
    /// @notice Thrown when a witness says nothing about the claim.
    error WitnessUnfit(uint256 witness);
    /// @notice Thrown when the claim is one of two floats between which a real function's value lies too close to their
    /// middle, or to the edge of its tolerance, to tell.
    error RoundingUndecided(uint256 number, uint256 bits);

    /// @notice Whether a proof shows that a statement is wrong.
    /// @param statement Digest of the model id, input root, output root and trace root that the operator stood for.
    /// @param proof The encoded fault proof.
    /// @return faulty True: convicted. False: everything in the proof belongs together, and what was stated is right.
    function check(bytes32 statement, bytes calldata proof) external view returns (bool faulty);
}
