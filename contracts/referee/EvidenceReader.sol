// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IReferee} from "../interfaces/IReferee.sol";
import {Profile} from "../types/Model.sol";
import {ProofReader, TensorsOpening} from "./ProofReader.sol";
import {TreeOpening} from "./TreeOpening.sol";

/// @dev A proof as far as its kinds look alike; every root in it has been checked.
struct Evidence {
    uint256 kind;
    uint256 profile;
    bytes32 programRoot;
    bytes32 weightsRoot;
    bytes32 inputRoot;
    bytes32 outputRoot;
    bytes32 traceRoot;
    uint256 value;
    uint256 index;
    bool hasWitness;
    uint256 witness;
    uint256 inputs;
    uint256 steps;
    // Offset and bytes of the interface; no bytes where there is none.
    uint256 interfaceOffset;
    uint256 interfaceBytes;
    bool hasStep;
    uint256 step;
    uint256 stepOffset;
    uint256 stepBytes;
    TensorsOpening values;
    bool hasWeights;
    TensorsOpening weights;
}

using EvidenceReader for Evidence global;

/// @title Reads a fault proof and checks that all of it hangs from one statement.
library EvidenceReader {
    uint256 private constant VERSION = 1;
    uint256 private constant PROGRAM_VERSION = 1;
    uint256 private constant KINDS = 6;

    function read(ProofReader memory reader, bytes32 statement) internal pure returns (Evidence memory evidence) {
        if (reader.take(1) != VERSION) reader.fail();
        evidence.kind = reader.take(1);
        if (evidence.kind == 0 || evidence.kind > KINDS) reader.fail();
        bytes32 modelId = _openModel(reader, evidence);
        uint256 offset = reader.offset;
        _requireRoot(reader.takeHash(), modelId);
        evidence.inputRoot = reader.takeHash();
        evidence.outputRoot = reader.takeHash();
        evidence.traceRoot = reader.takeHash();
        bytes32 digest = reader.hash(0x0b, offset, 128);
        _requireRoot(reader.takeHash(), digest);
        if (digest != statement) revert IReferee.StatementDiffers(statement, digest);
        evidence.value = reader.take(4);
        evidence.index = reader.take(8);
        evidence.hasWitness = reader.takeFlag();
        if (evidence.hasWitness) evidence.witness = reader.take(8);
        _openProgram(reader, evidence);
        evidence.values = reader.takeTensors(0);
        _requireRoot(evidence.traceRoot, _sealed(0x09, evidence.values));
        evidence.hasWeights = reader.takeFlag();
        if (evidence.hasWeights) {
            evidence.weights = reader.takeTensors(1);
            _requireRoot(evidence.weightsRoot, _sealed(0x08, evidence.weights));
        }
        if (reader.offset != reader.length) reader.fail();
    }

    /// @dev The opened data of the value at fault; see `OpenedDataLibrary.pack`.
    function openedValue(Evidence memory evidence) internal pure returns (uint256) {
        uint256[] memory tensors = evidence.values.tensors;
        for (uint256 i; i < tensors.length; ++i) {
            // What is no more than a root has a bit set above the number.
            if (tensors[i] >> 160 == evidence.value) return tensors[i];
        }
        revert IReferee.ElementNotOpened(evidence.value, evidence.index);
    }

    /// @dev Bytes of the value at fault.
    function byteLength(Evidence memory evidence) internal pure returns (uint256) {
        return uint64(openedValue(evidence) >> 96);
    }

    /// @dev All tensors that are opened, values before weights.
    function allOpened(Evidence memory evidence) internal pure returns (uint256[] memory tensors) {
        uint256[] memory values = evidence.values.tensors;
        uint256[] memory weights = evidence.weights.tensors;
        tensors = new uint256[](values.length + weights.length);
        for (uint256 i; i < tensors.length; ++i) {
            tensors[i] = i < values.length ? values[i] : weights[i - values.length];
        }
    }

    function _openModel(ProofReader memory reader, Evidence memory evidence) private pure returns (bytes32) {
        uint256 version = reader.take(2);
        evidence.profile = reader.take(1);
        bool isJudged = evidence.profile == uint8(Profile.Exact) || evidence.profile == uint8(Profile.Bounded);
        if (!isJudged) revert IReferee.ProfileUnprovable(evidence.profile);
        bytes32 artifactHash = reader.takeHash();
        evidence.programRoot = reader.takeHash();
        evidence.weightsRoot = reader.takeHash();
        (bytes32 ioHash, bytes32 limitsHash) = (reader.takeHash(), reader.takeHash());
        return keccak256(
            abi.encode(
                version, evidence.profile, artifactHash, evidence.programRoot, evidence.weightsRoot, ioHash, limitsHash
            )
        );
    }

    function _openProgram(ProofReader memory reader, Evidence memory evidence) private pure {
        evidence.inputs = reader.take(4);
        evidence.steps = reader.take(4);
        bytes32 interfaceHash = reader.takeHash();
        evidence.interfaceBytes = reader.take(4);
        evidence.interfaceOffset = reader.skip(evidence.interfaceBytes);
        if (evidence.interfaceBytes != 0) {
            _requireRoot(interfaceHash, reader.hash(0x06, evidence.interfaceOffset, evidence.interfaceBytes));
        }
        evidence.hasStep = reader.takeFlag();
        uint256[] memory numbers = new uint256[](evidence.hasStep ? 1 : 0);
        bytes32[] memory leaves = new bytes32[](numbers.length);
        if (evidence.hasStep) {
            numbers[0] = evidence.step = reader.take(4);
            if (evidence.step >= evidence.steps) reader.fail();
            evidence.stepBytes = reader.take(4);
            evidence.stepOffset = reader.skip(evidence.stepBytes);
            leaves[0] = reader.hash(0x05, evidence.stepOffset, evidence.stepBytes);
        }
        (uint256 siblings, uint256 given) = reader.takeSiblings();
        bytes32 treeRoot = TreeOpening.root(evidence.steps, numbers, leaves, siblings, given);
        bytes memory preimage = abi.encodePacked(
            bytes1(0x07),
            uint32(PROGRAM_VERSION),
            uint32(evidence.inputs),
            uint32(evidence.steps),
            interfaceHash,
            treeRoot
        );
        _requireRoot(evidence.programRoot, keccak256(preimage));
    }

    function _sealed(uint8 tag, TensorsOpening memory opening) private pure returns (bytes32) {
        return keccak256(abi.encodePacked(tag, uint32(opening.count), opening.treeRoot));
    }

    function _requireRoot(bytes32 expected, bytes32 actual) private pure {
        if (expected != actual) revert IReferee.RootDiffers(expected, actual);
    }
}
