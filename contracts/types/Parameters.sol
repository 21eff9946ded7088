// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @dev Everything that a deployment may choose; immutable afterwards. How to choose: `contracts/README.md`.
struct Parameters {
    // Range of challenge windows.
    uint32 minWindowSeconds;
    uint32 maxWindowSeconds;
    uint32 maxCallbackGas;
    // Longest payloads.
    uint32 maxInputBytes;
    uint32 maxOutputBytes;
    // Smallest bond behind any result.
    uint96 minBondWei;
    // Longest time between now and a deadline or an expiry.
    uint32 maxLifetimeSeconds;
    // How long after its expiry an off-chain result can be refuted.
    uint32 tailSeconds;
    // Longest time from a challenge to a verdict.
    uint32 maxDisputeSeconds;
}

/// @dev The clocks and prices of fault disputes.
struct DisputeParameters {
    // As in `Parameters`.
    uint32 tailSeconds;
    uint32 maxDisputeSeconds;
    // Phases of a dispute after its challenge window; together at most `maxDisputeSeconds`. The operator's time to commit
    // to its trace; the challengers' to demand parts of it; the operator's to show each; the challengers' to commit to a
    // fault; and theirs to prove it.
    uint32 traceSeconds;
    uint32 demandSeconds;
    uint32 discloseSeconds;
    uint32 commitSeconds;
    uint32 revealSeconds;
    // Bonds and prices assume at least this gas price.
    uint64 floorGasPriceWei;
}
