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
    uint16 openDemands;
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

/// @dev Something of a trace that a challenger wants to see.
struct Target {
    Part part;
    // Number of the value; 0 for `Part.Values`.
    uint32 value;
    // Height of the node in its tree, leaves at 0; `Part.Chunks`: of the lowest node over all 16 chunks, or 0.
    uint8 level;
    // Which node of that height.
    uint32 index;
}

/// @dev Which nodes of a trace are wanted.
enum Part {
    // Nodes of the tree over the values' data roots.
    Values,
    // Nodes of the tree over a value's chunks.
    Nodes,
    // Up to 16 chunks of a value: those from 16 x index on.
    Chunks
}

/// @dev What an operator shows of a trace. A node is shown with its descendants four levels below, or at the leaves.
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

/// @dev A demand that waits for its answer.
struct Demand {
    uint40 dueAt;
    uint96 priceWei;
}
