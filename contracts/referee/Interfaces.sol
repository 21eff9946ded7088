// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IReferee} from "../interfaces/IReferee.sol";
import {ProofReader, ProofReaderLibrary, TensorsOpening} from "./ProofReader.sol";
import {Words, WordsLibrary} from "./Words.sol";

/// @dev The type of a model input or output, and which value it is.
struct Port {
    uint256 value;
    uint256 dtype;
    uint256[] shape;
}

/// @title A program without its steps, and how the model's inputs and outputs hang together with a trace.
library Interfaces {
    // What a payload can hold.
    uint256 private constant MAX_PORTS = 255;
    uint256 private constant MAX_RANK = 32;

    function decode(Words memory words) internal pure returns (Port[] memory inputs, Port[] memory outputs) {
        inputs = new Port[](words.nextCount());
        for (uint256 i; i < inputs.length; ++i) {
            inputs[i] = _port(words, i);
        }
        uint256 weights = words.nextCount();
        for (uint256 i; i < weights; ++i) {
            words.nextShape();
        }
        outputs = new Port[](words.nextCount());
        for (uint256 i; i < outputs.length; ++i) {
            outputs[i] = _port(words, words.next());
        }
        words.finish();
    }

    /// @dev The port that a value is: of several the last, and outputs before inputs.
    function find(Port[] memory inputs, Port[] memory outputs, uint256 value) internal pure returns (Port memory) {
        for (uint256 i = outputs.length; i != 0; --i) {
            if (outputs[i - 1].value == value) return outputs[i - 1];
        }
        if (value >= inputs.length) revert IReferee.ElementMissing(value, 0);
        return inputs[value];
    }

    /// @dev The payload root that the data roots of some values lead to. Reverts unless exactly they are opened.
    function linkedRoot(ProofReader memory reader, Port[] memory ports, TensorsOpening memory values, uint256 kind)
        internal
        pure
        returns (bytes32)
    {
        if (ports.length > MAX_PORTS) revert IReferee.StepMalformed(reader.offset);
        uint256[] memory opened = values.tensors;
        for (uint256 k; k < opened.length; ++k) {
            bool wanted = false;
            for (uint256 i; i < ports.length && !wanted; ++i) {
                wanted = ports[i].value == uint32(opened[k] >> 160);
            }
            if (!wanted) revert IReferee.EvidenceUnfit(kind);
        }
        bytes memory preimage = abi.encodePacked(bytes1(0x04), uint8(ports.length));
        for (uint256 i; i < ports.length; ++i) {
            preimage = abi.encodePacked(preimage, _tensorRoot(ports[i], _dataRoot(reader, ports[i].value, opened)));
        }
        return keccak256(preimage);
    }

    function elements(Port memory port) internal pure returns (uint256) {
        return WordsLibrary.product(port.shape);
    }

    function _port(Words memory words, uint256 value) private pure returns (Port memory port) {
        port.value = value;
        port.dtype = words.nextType();
        port.shape = words.nextList();
    }

    function _dataRoot(ProofReader memory reader, uint256 value, uint256[] memory opened)
        private
        pure
        returns (bytes32)
    {
        for (uint256 k; k < opened.length; ++k) {
            if (uint32(opened[k] >> 160) != value) continue;
            if (opened[k] & ProofReaderLibrary.ROOT_ALONE == 0) break;
            return reader.hashAt(uint64(opened[k]));
        }
        revert IReferee.ElementNotOpened(value, 0);
    }

    function _tensorRoot(Port memory port, bytes32 dataRoot) private pure returns (bytes32) {
        uint256 rank = port.shape.length;
        if (rank > MAX_RANK) revert IReferee.StepMalformed(rank);
        bytes memory preimage = abi.encodePacked(bytes1(0x03), uint8(port.dtype), uint8(rank));
        for (uint256 k; k < rank; ++k) {
            preimage = abi.encodePacked(preimage, uint32(port.shape[k]));
        }
        return keccak256(abi.encodePacked(preimage, dataRoot));
    }
}
