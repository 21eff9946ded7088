// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @title What a step does; numbers of `sworn.model.program.Rule`.
library RuleNumber {
    uint256 internal constant COPY = 1;
    uint256 internal constant CONTRACT = 2;
    uint256 internal constant POINTWISE = 3;
    uint256 internal constant LOOKUP = 4;
    uint256 internal constant EXTREMUM = 5;
    uint256 internal constant RANK = 6;
    uint256 internal constant TREE = 7;
}
