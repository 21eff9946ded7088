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
