// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @dev Where a dispute stands. There is one per result, ever.
enum DisputeStatus {
    // Never challenged.
    None,
    // Challengers look for a fault, the operator answers demands.
    Open,
    // The result was proven false, or its operator fell silent.
    Refuted,
    // Nobody proved a fault in time; the result stands for good.
    Upheld
}

/// @dev One slot: | 160 opener | 40 closesAt | 40 openedAt | 8 status |.
struct Opening {
    DisputeStatus status;
    uint40 openedAt;
    // Last second in which somebody may challenge or join.
    uint40 closesAt;
    address opener;
}

/// @dev One result under challenge.
struct Dispute {
    Opening opening;
    // Bonds of all who joined, without the opener's.
    uint96 joinedWei;
    // What challengers have paid for answered demands.
    uint80 spentWei;
    uint32 openDemands;
    // Committed by the operator when the result carries none.
    bytes32 traceRoot;
    // Whose proof counts; zero = convicted for silence, or by other means.
    address prover;
    // When that proof had been committed to; an earlier commitment still takes its place.
    uint40 committedAt;
    // What the proof cost, to be repaid if another takes its place.
    uint56 proofCostGwei;
    // The share of the slashed bond that goes to those who convicted.
    uint96 rewardWei;
}

/// @dev A party to a dispute.
struct Challenger {
    uint96 bondWei;
    // Paid for demands that wait for an answer.
    uint80 lockedWei;
    // Paid for answered demands, and for a proof that another took the place of.
    uint80 spentWei;
    // Hides which fault will be proven; zero = none.
    bytes32 commitment;
    uint40 committedAt;
    uint64 committedIn;
    uint8 openDemands;
    bool claimed;
}

/// @dev Something of a trace, or of the model that made it, that a challenger wants to see.
struct Target {
    Part part;
    // Number of the value or weight; 0 for parts that are no part of one.
    uint32 value;
    // Height of the node in its tree, leaves at 0; 0 for parts that are no nodes.
    uint8 level;
    // Which node of that height, which group of 16 chunks, or which step.
    uint32 index;
}

/// @dev What is wanted. The first three are parts of the trace, the others of the model.
enum Part {
    // Nodes of the tree over the values' data roots.
    Values,
    // Nodes of the tree over a value's chunks.
    Nodes,
    // Up to 16 chunks of a value: those from 16 x index on.
    Chunks,
    // Nodes of the tree over the weights' data roots.
    Weights,
    // Nodes of the tree over a weight's chunks.
    WeightNodes,
    // Up to 16 chunks of a weight.
    WeightChunks,
    // One step of the program.
    Steps,
    // Its interface: types of inputs and weights, outputs.
    Interface
}

/// @dev What an operator shows of a trace. A node is shown with its descendants four levels below, or at the leaves.
/// The same of weights, which stand in trees of the same kind, comes behind the `Model`: abi.encode(model, disclosure).
struct Disclosure {
    // Leaves of the tree over the values.
    uint32 values;
    // Root of that tree.
    bytes32 valuesTree;
    // For nodes and chunks of one value: the way from its data root to `valuesTree`.
    bytes32[] valueSiblings;
    // Bytes of the value.
    uint64 length;
    // Root of the tree over its chunks.
    bytes32 chunksTree;
    // The wanted node's descendants; empty where the node does not exist.
    bytes32[] nodes;
    // The chunks themselves, one after the other; `Part.Chunks` only.
    bytes chunks;
    // The way from the wanted node to the root of its tree.
    bytes32[] siblings;
}

/// @dev What an operator shows of a program: abi.encode(model, programDisclosure).
struct ProgramDisclosure {
    uint32 inputs;
    uint32 steps;
    bytes32 interfaceHash;
    // Root of the tree over the steps.
    bytes32 stepsTree;
    // The wanted step or the interface, encoded; empty where the step does not exist.
    bytes content;
    // The way from the wanted step to the root of its tree.
    bytes32[] siblings;
}

/// @dev A demand that waits for its answer.
struct Demand {
    uint40 dueAt;
    uint96 priceWei;
}
