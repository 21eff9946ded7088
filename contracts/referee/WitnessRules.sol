// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IReferee} from "../interfaces/IReferee.sol";
import {ElementType} from "./ElementType.sol";
import {Float32} from "./Float32.sol";
import {FunctionNumber} from "./FunctionNumber.sol";
import {Claim} from "./IRule.sol";
import {OpenedData, OpenedDataLibrary} from "./OpenedData.sol";
import {Operand, OperandsLibrary, Reduction, StatedTypes, StatedTypesLibrary} from "./Operands.sol";
import {Words} from "./Words.sol";

/// @title Certificates refuted by one witness, so that neither the size of a window nor that of a tree matters.
/// @dev Twin of `sworn.referee.witness`. A position or a leaf that does not exist needs no witness: 0 is given.
library WitnessRules {
    uint256 private constant NODE_WORDS = 6;
    uint256 private constant ROOT_WORDS = 2;

    struct Window {
        bool largest;
        Reduction[] reductions;
        Operand source;
    }

    /// @dev A witness is a position that counts and is better than the stated one, or as good and earlier.
    function refutesExtremum(Claim calldata claim, bytes calldata proof) internal pure returns (bool) {
        Words memory words = OpenedDataLibrary.words(claim, proof);
        Window memory window;
        window.largest = words.nextFlag();
        window.reductions = OperandsLibrary.nextReductions(words);
        uint256[] memory index = claim.coordinates;
        window.source =
            OperandsLibrary.nextOperand(words, StatedTypesLibrary.create(words.end - words.position), index.length);
        words.finish();
        if (!claim.canonical) return true;
        uint256 dtype = window.source.dtype;
        bool comparable = dtype == ElementType.FLOAT32 || dtype == ElementType.BOOL || ElementType.isInteger(dtype);
        if (!comparable) words.fail();
        int256 stated = _integer(claim.bits, claim.dtype);
        (bool counts, int256 element) = _place(window, index, stated);
        if (!counts) return _needsNone(claim.witness);
        OpenedData memory data = OpenedDataLibrary.find(claim.opened, proof, window.source);
        (bool hasKey, int256 mine) = _key(data, element, dtype);
        if (!hasKey) return true;
        (counts, element) = _place(window, index, int256(claim.witness));
        if (!counts) revert IReferee.WitnessUnfit(claim.witness);
        int256 other;
        (hasKey, other) = _key(data, element, dtype);
        if (!hasKey) return true;
        if (mine == other) return int256(claim.witness) < stated;
        return window.largest ? other > mine : other < mine;
    }

    /// @dev A witness is a node above the stated leaf that sends the row to its other side.
    function refutesLeaf(Claim calldata claim, bytes calldata proof) internal pure returns (bool) {
        Words memory words = OpenedDataLibrary.words(claim, proof);
        uint256 axis = words.next();
        int256 stride = words.nextSigned();
        uint256[] memory index = claim.coordinates;
        StatedTypes memory types = StatedTypesLibrary.create(words.end - words.position);
        Operand memory nodes = OperandsLibrary.nextTensor(words, types, 1);
        Operand memory roots = OperandsLibrary.nextTensor(words, types, 1);
        Operand memory features = OperandsLibrary.nextOperand(words, types, index.length);
        words.finish();
        if (!claim.canonical) return true;
        bool typed = nodes.dtype == ElementType.INT32 && roots.dtype == ElementType.INT32;
        if (axis >= index.length || !typed || features.dtype != ElementType.FLOAT32) words.fail();
        int256 stated = _integer(claim.bits, claim.dtype);
        int256[] memory root = _row(claim, proof, roots, int256(index[axis]), ROOT_WORDS);
        if (stated < 0 || stated > root[1]) return _needsNone(claim.witness);
        int256 witness = int256(claim.witness);
        if (witness >= root[1]) revert IReferee.WitnessUnfit(claim.witness);
        int256[] memory node = _row(claim, proof, nodes, root[0] + witness, NODE_WORDS);
        if (stated < node[3] || stated >= node[5]) revert IReferee.WitnessUnfit(claim.witness);
        OpenedData memory data = OpenedDataLibrary.find(claim.opened, proof, features);
        uint256 feature = data.read(features.base(index) + node[0] * stride);
        uint256 threshold = uint32(int32(node[2]));
        if (Float32.isNaN(feature) || Float32.isNaN(threshold)) return true;
        return _holds(node[1], Float32.orderKey(feature), Float32.orderKey(threshold)) != (stated < node[4]);
    }

    /// @dev Whether a position of a window counts, and which element of the source it is.
    function _place(Window memory window, uint256[] memory index, int256 position)
        private
        pure
        returns (bool counts, int256 element)
    {
        unchecked {
            if (position < 0) return (false, 0);
            uint256 rest = uint256(position);
            element = window.source.base(index);
            counts = true;
            for (uint256 k = window.reductions.length; k != 0; --k) {
                Reduction memory reduction = window.reductions[k - 1];
                // A window with an axis of nothing has no positions.
                if (reduction.extent == 0) return (false, 0);
                uint256 r = rest % reduction.extent;
                rest /= reduction.extent;
                element += reduction.left * int256(r);
                if (!reduction.holds(index, r)) counts = false;
            }
            if (rest != 0) counts = false;
        }
    }

    function _key(OpenedData memory data, int256 element, uint256 dtype)
        private
        pure
        returns (bool hasKey, int256 key)
    {
        uint256 bits = data.read(element);
        if (dtype != ElementType.FLOAT32) return (true, ElementType.decode(bits, dtype));
        return (!Float32.isNaN(bits), Float32.orderKey(bits));
    }

    function _row(Claim calldata claim, bytes calldata proof, Operand memory table, int256 row, uint256 words)
        private
        pure
        returns (int256[] memory values)
    {
        OpenedData memory data = OpenedDataLibrary.find(claim.opened, proof, table);
        values = new int256[](words);
        for (uint256 k; k < words; ++k) {
            values[k] = int256(int32(uint32(data.read(row * int256(words) + int256(k)))));
        }
    }

    function _holds(int256 mode, int256 left, int256 right) private pure returns (bool) {
        uint256 number = uint256(mode);
        if (number == FunctionNumber.NOT) return left != right;
        if (!FunctionNumber.isComparison(number)) revert IReferee.FunctionUndefined(number);
        return FunctionNumber.compare(number, left, right);
    }

    function _integer(uint256 bits, uint256 dtype) private pure returns (int256) {
        if (dtype == ElementType.FLOAT32 || dtype == ElementType.FLOAT64) revert IReferee.StepMalformed(dtype);
        return ElementType.decode(bits, dtype);
    }

    function _needsNone(uint256 witness) private pure returns (bool) {
        if (witness != 0) revert IReferee.WitnessUnfit(witness);
        return true;
    }
}
