// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @dev keccak256 over chain id, oracle and every field of a `Request`; see `Request.sol`.
type RequestId is bytes32;

/// @dev keccak256 over every field of a `Model`; see `Model.sol`.
type ModelId is bytes32;

/// @dev EIP-712 digest of a `Result`; see `Result.sol`. A signature is never an id.
type ResultId is bytes32;

using {_equalRequestId as ==, _differentRequestId as !=} for RequestId global;
using {_equalModelId as ==, _differentModelId as !=} for ModelId global;
using {_equalResultId as ==, _differentResultId as !=} for ResultId global;

function _equalRequestId(RequestId a, RequestId b) pure returns (bool) {
    return RequestId.unwrap(a) == RequestId.unwrap(b);
}

function _differentRequestId(RequestId a, RequestId b) pure returns (bool) {
    return RequestId.unwrap(a) != RequestId.unwrap(b);
}

function _equalModelId(ModelId a, ModelId b) pure returns (bool) {
    return ModelId.unwrap(a) == ModelId.unwrap(b);
}

function _differentModelId(ModelId a, ModelId b) pure returns (bool) {
    return ModelId.unwrap(a) != ModelId.unwrap(b);
}

function _equalResultId(ResultId a, ResultId b) pure returns (bool) {
    return ResultId.unwrap(a) == ResultId.unwrap(b);
}

function _differentResultId(ResultId a, ResultId b) pure returns (bool) {
    return ResultId.unwrap(a) != ResultId.unwrap(b);
}
