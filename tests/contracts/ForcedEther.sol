// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @title Leaves its ether to an account that cannot refuse it.
contract ForcedEther {
    constructor(address payable heir) payable {
        selfdestruct(heir);
    }
}
