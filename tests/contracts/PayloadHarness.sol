// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {TensorPayload} from "../../contracts/types/TensorPayload.sol";

/// @title `TensorPayload` from outside.
contract PayloadHarness {
    function root(bytes calldata payload) external pure returns (bytes32) {
        return TensorPayload.root(payload);
    }

    function count(bytes calldata payload) external pure returns (uint256) {
        return TensorPayload.count(payload);
    }

    function itemBytes(uint256 dtype) external pure returns (uint256) {
        return TensorPayload.itemBytes(dtype);
    }
}
