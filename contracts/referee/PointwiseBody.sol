// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {FunctionNumber} from "./FunctionNumber.sol";
import {Claim} from "./IRule.sol";
import {OpenedData, OpenedDataLibrary} from "./OpenedData.sol";
import {Operand, OperandsLibrary, StatedTypes, StatedTypesLibrary} from "./Operands.sol";
import {Words} from "./Words.sol";

/// @dev A function with its operands' bits and types, the type of its result and the step's parameters.
struct Call {
    uint256 number;
    uint256 alpha;
    uint256 beta;
    uint256 output;
    uint256[] dtypes;
    // Empty until they are read.
    uint256[] operands;
}

/// @title Reads the body of a pointwise step and its operands.
library PointwiseBody {
    function read(Claim calldata claim, bytes calldata proof) internal pure returns (Call memory call) {
        Words memory words = OpenedDataLibrary.words(claim, proof);
        call.number = words.next();
        if (!FunctionNumber.isKnown(call.number)) words.fail();
        call.alpha = words.nextFloat();
        call.beta = words.nextFloat();
        call.output = claim.dtype;
        uint256[] memory index = claim.coordinates;
        StatedTypes memory types = StatedTypesLibrary.create(words.end - words.position);
        Operand[] memory list = new Operand[](words.nextCount());
        call.dtypes = new uint256[](list.length);
        for (uint256 i; i < list.length; ++i) {
            list[i] = OperandsLibrary.nextOperand(words, types, index.length);
            call.dtypes[i] = list[i].dtype;
        }
        words.finish();
        if (!claim.canonical) return call;
        if (!claim.axesFit) words.fail();
        call.operands = new uint256[](list.length);
        for (uint256 i; i < list.length; ++i) {
            OpenedData memory data = OpenedDataLibrary.find(claim.opened, proof, list[i]);
            call.operands[i] = data.read(list[i].base(index));
        }
    }
}
