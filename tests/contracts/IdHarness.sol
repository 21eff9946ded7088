// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Failure} from "../../contracts/types/Failure.sol";
import {ModelId, RequestId} from "../../contracts/types/Ids.sol";
import {Model} from "../../contracts/types/Model.sol";
import {Request} from "../../contracts/types/Request.sol";
import {Result} from "../../contracts/types/Result.sol";

/// @dev Twin of `sworn.types.TensorSpec`, as `Model.ioHash` commits to it.
struct TensorSpec {
    string name;
    uint8 dtype;
    int64[] dims;
}

/// @title The ids and hashes of `types/` from outside.
contract IdHarness {
    function modelIdOf(Model calldata model) external pure returns (ModelId) {
        return model.id();
    }

    function requestIdOf(Request calldata request, address oracle) external view returns (RequestId) {
        return request.id(oracle);
    }

    function ioHashOf(TensorSpec[] calldata inputs, TensorSpec[] calldata outputs) external pure returns (bytes32) {
        return keccak256(abi.encode(inputs, outputs));
    }

    function structHashOf(Result calldata result) external pure returns (bytes32) {
        return result.structHash();
    }

    function structHashOfFailure(Failure calldata failure) external pure returns (bytes32) {
        return failure.structHash();
    }
}
