// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IReferee} from "../interfaces/IReferee.sol";
import {OpenedDataLibrary} from "./OpenedData.sol";
import {TreeOpening} from "./TreeOpening.sol";

/// @dev A place in an encoded proof. The bytes stand in the calldata, to be read, and in memory, to be hashed.
struct ProofReader {
    // Counts from the start of the proof's bytes.
    uint256 offset;
    uint256 length;
    // Where the bytes start in the calldata and in memory.
    uint256 data;
    uint256 image;
}

/// @dev Some tensors under one root.
struct TensorsOpening {
    uint256 count;
    // In rising order; see `OpenedDataLibrary.pack`, or `ProofReaderLibrary.ROOT_ALONE`.
    uint256[] tensors;
    bytes32 treeRoot;
}

using ProofReaderLibrary for ProofReader global;

/// @title Reads a fault proof, and hashes it where it stands; twin of `sworn.referee.proof_encoding`.
library ProofReaderLibrary {
    /// @dev Set in place of a tensor's chunks where no more than its data root is given, at the packed offset.
    uint256 internal constant ROOT_ALONE = 1 << 255;

    uint256 private constant CHUNK_BYTES = 1024;

    function open(bytes calldata proof) internal pure returns (ProofReader memory reader) {
        bytes memory image = proof;
        assembly ("memory-safe") {
            mstore(reader, 0)
            mstore(add(reader, 0x20), proof.length)
            mstore(add(reader, 0x40), proof.offset)
            mstore(add(reader, 0x60), add(image, 0x20))
        }
    }

    /// @dev Goes past so many bytes; where they stand.
    function skip(ProofReader memory reader, uint256 size) internal pure returns (uint256 offset) {
        offset = reader.offset;
        if (size > reader.length - offset) reader.fail();
        unchecked {
            reader.offset = offset + size;
        }
    }

    /// @dev The next `size` bytes as a number, at most 32.
    function take(ProofReader memory reader, uint256 size) internal pure returns (uint256 value) {
        uint256 position = reader.data + reader.skip(size);
        uint256 unused = 256 - 8 * size;
        assembly ("memory-safe") {
            value := shr(unused, calldataload(position))
        }
    }

    function takeHash(ProofReader memory reader) internal pure returns (bytes32) {
        return bytes32(reader.take(32));
    }

    function takeFlag(ProofReader memory reader) internal pure returns (bool) {
        uint256 value = reader.take(1);
        if (value > 1) reader.fail();
        return value == 1;
    }

    /// @dev A hash that stands at an offset.
    function hashAt(ProofReader memory reader, uint256 offset) internal pure returns (bytes32 value) {
        uint256 pointer = reader.image + offset;
        assembly ("memory-safe") {
            value := mload(pointer)
        }
    }

    /// @dev A list of hashes; where in memory they stand.
    function takeSiblings(ProofReader memory reader) internal pure returns (uint256 pointer, uint256 count) {
        count = reader.take(4);
        pointer = reader.image + reader.skip(32 * count);
    }

    /// @dev keccak(tag | bytes). The byte before them in memory is lent to the tag: something always stands there.
    function hash(ProofReader memory reader, uint256 tag, uint256 offset, uint256 size)
        internal
        pure
        returns (bytes32 result)
    {
        uint256 pointer = reader.image + offset - 1;
        assembly ("memory-safe") {
            let before := byte(0, mload(pointer))
            mstore8(pointer, tag)
            result := keccak256(pointer, add(size, 1))
            mstore8(pointer, before)
        }
    }

    /// @dev The tensors of a space that a proof opens, and the root of the tree over their data roots.
    function takeTensors(ProofReader memory reader, uint256 space)
        internal
        pure
        returns (TensorsOpening memory opening)
    {
        opening.count = reader.take(4);
        uint256 opened = reader.takeCount(37);
        opening.tensors = new uint256[](opened);
        uint256[] memory numbers = new uint256[](opened);
        bytes32[] memory leaves = new bytes32[](opened);
        for (uint256 i; i < opened; ++i) {
            uint256 number = reader.take(4);
            if ((i != 0 && number <= numbers[i - 1]) || number >= opening.count) reader.fail();
            numbers[i] = number;
            if (reader.takeFlag()) {
                (opening.tensors[i], leaves[i]) = _takeData(reader, space << 32 | number);
            } else {
                opening.tensors[i] = ROOT_ALONE | OpenedDataLibrary.pack(number, 0, 0, reader.offset);
                leaves[i] = reader.takeHash();
            }
        }
        (uint256 siblings, uint256 given) = reader.takeSiblings();
        opening.treeRoot = TreeOpening.root(opening.count, numbers, leaves, siblings, given);
    }

    /// @dev A number of parts that follow, each of at least so many bytes.
    function takeCount(ProofReader memory reader, uint256 least) internal pure returns (uint256 count) {
        count = reader.take(4);
        if (least * count > reader.length - reader.offset) reader.fail();
    }

    function fail(ProofReader memory reader) internal pure {
        revert IReferee.FaultProofMalformed(reader.offset);
    }

    function _takeData(ProofReader memory reader, uint256 tensor)
        private
        pure
        returns (uint256 packed, bytes32 dataRoot)
    {
        uint256 byteLength = reader.take(8);
        uint256 opened = reader.takeCount(5);
        uint256 count = (byteLength + CHUNK_BYTES - 1) / CHUNK_BYTES;
        packed = OpenedDataLibrary.pack(tensor, byteLength, opened, reader.offset);
        uint256[] memory indices = new uint256[](opened);
        bytes32[] memory leaves = new bytes32[](opened);
        for (uint256 i; i < opened; ++i) {
            uint256 index = reader.take(4);
            if ((i != 0 && index <= indices[i - 1]) || index >= count) reader.fail();
            indices[i] = index;
            uint256 size = index == count - 1 ? byteLength - index * CHUNK_BYTES : CHUNK_BYTES;
            leaves[i] = reader.hash(0x00, reader.skip(size), size);
        }
        (uint256 siblings, uint256 given) = reader.takeSiblings();
        bytes32 treeRoot = TreeOpening.root(count, indices, leaves, siblings, given);
        dataRoot = keccak256(abi.encodePacked(bytes1(0x02), uint64(byteLength), treeRoot));
    }
}
