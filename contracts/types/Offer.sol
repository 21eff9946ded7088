// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @dev The terms on which an operator serves one model; one slot. A request outside them binds nobody.
struct Offer {
    bool active;
    // Fee for one result.
    uint88 priceWei;
    uint88 maxValueAtRiskWei;
    uint32 maxWindowSeconds;
    uint32 maxCallbackGas;
}
