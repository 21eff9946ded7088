// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @title Canonical encoding of tensors, and its commitment; twin of `sworn.codec`.
/// @dev tensor  := dtype:uint8 | rank:uint8 | dims: rank x uint32 | elements, row-major, big-endian
///      payload := count:uint8 (1..64) | tensor x count
///
///      data root    = keccak(0x02 | uint64 bytes | tree over 1 KiB chunks)
///      tensor root  = keccak(0x03 | dtype | rank | dims | data root)
///      payload root = keccak(0x04 | count | tensor roots)
///
///      The tree has leaves keccak(0x00 | chunk) and nodes keccak(0x01 | left | right) at the fixed depth
///      ceil(log2(chunks)); missing leaves are zero. Only the structure is checked here: a float that is not canonical
///      under an operator's own root is a fault, not a malformed payload.
library TensorPayload {
    /// @notice Thrown when bytes are not the encoding of 1 to 64 tensors.
    error PayloadMalformed(uint256 offset);
    /// @notice Thrown when an element type has no encoding; types are numbered as in ONNX.
    error DTypeUnknown(uint256 dtype);

    uint256 internal constant MAX_TENSORS = 64;
    uint256 internal constant MAX_RANK = 32;
    uint256 internal constant CHUNK_BYTES = 1024;

    // Bytes per element by ONNX TensorProto.DataType, one nibble each, type 0 lowest: FLOAT(1)=4, UINT8(2)=1, INT8(3)=1,
    // UINT16(4)=2, INT16(5)=2, INT32(6)=4, INT64(7)=8, BOOL(9)=1, DOUBLE(11)=8, UINT32(12)=4, UINT64(13)=8; 0 = unknown.
    uint256 private constant ITEM_BYTES = 0x84801084221140;

    /// @dev One tensor inside a payload; `dataOffset` counts from the start of the payload's bytes.
    struct Tensor {
        uint8 dtype;
        uint8 rank;
        uint256 shapeOffset;
        uint256 dataOffset;
        uint256 dataBytes;
        uint256 elements;
    }

    /// @notice Bytes per element.
    function itemBytes(uint256 dtype) internal pure returns (uint256 size) {
        size = dtype > 13 ? 0 : (ITEM_BYTES >> (4 * dtype)) & 0xf;
        if (size == 0) revert DTypeUnknown(dtype);
    }

    /// @notice The number of tensors that a payload states.
    function count(bytes memory payload) internal pure returns (uint256 tensors) {
        if (payload.length == 0) revert PayloadMalformed(0);
        tensors = uint8(payload[0]);
        if (tensors == 0 || tensors > MAX_TENSORS) revert PayloadMalformed(0);
    }

    /// @notice Parses the header at `offset` and checks that its elements lie inside the payload.
    function parse(bytes memory payload, uint256 offset) internal pure returns (Tensor memory tensor) {
        (uint256 dataOffset, uint256 elements, uint256 dataBytes) = _measure(payload, offset);
        tensor.dtype = uint8(_word(payload, offset) >> 248);
        tensor.rank = uint8(_word(payload, offset) >> 240);
        tensor.shapeOffset = offset + 2;
        tensor.dataOffset = dataOffset;
        tensor.dataBytes = dataBytes;
        tensor.elements = elements;
    }

    /// @notice The size of one axis.
    function dim(bytes memory payload, Tensor memory tensor, uint256 axis) internal pure returns (uint256) {
        return _word(payload, tensor.shapeOffset + 4 * axis) >> 224;
    }

    /// @notice The commitment of a payload. Reverts unless the bytes are exactly one payload.
    function root(bytes memory payload) internal pure returns (bytes32) {
        uint256 tensors = count(payload);
        bytes memory preimage = new bytes(2 + 32 * tensors);
        assembly ("memory-safe") {
            mstore8(add(preimage, 32), 0x04)
            mstore8(add(preimage, 33), tensors)
        }
        uint256 offset = 1;
        for (uint256 i; i < tensors; ++i) {
            (uint256 dataOffset,, uint256 dataBytes) = _measure(payload, offset);
            bytes32 tensorRoot = _tensorRoot(payload, offset, dataOffset, dataBytes);
            assembly ("memory-safe") {
                mstore(add(add(preimage, 34), mul(i, 32)), tensorRoot)
            }
            offset = dataOffset + dataBytes;
        }
        if (offset != payload.length) revert PayloadMalformed(offset);
        return keccak256(preimage);
    }

    /// @dev SAFETY: every sum is of lengths that fit memory and every product is bounded by the payload's length times
    /// 2^32 before it is bounded again, so nothing overflows.
    function _measure(bytes memory payload, uint256 offset)
        private
        pure
        returns (uint256 dataOffset, uint256 elements, uint256 dataBytes)
    {
        unchecked {
            uint256 length = payload.length;
            if (offset + 2 > length) revert PayloadMalformed(offset);
            uint256 header = _word(payload, offset);
            uint256 rank = (header >> 240) & 0xff;
            dataOffset = offset + 2 + 4 * rank;
            if (rank > MAX_RANK || dataOffset > length) revert PayloadMalformed(offset);
            elements = 1;
            bool empty;
            for (uint256 cursor = offset + 2; cursor < dataOffset; cursor += 4) {
                uint256 size = _word(payload, cursor) >> 224;
                if (size == 0) empty = true;
                // An empty tensor may state any other sizes; saturating keeps their product harmless.
                else if (elements <= length) elements *= size;
            }
            if (empty) elements = 0;
            dataBytes = elements * itemBytes(header >> 248);
            if (dataBytes > length - dataOffset) revert PayloadMalformed(offset);
        }
    }

    function _word(bytes memory payload, uint256 offset) private pure returns (uint256 word) {
        assembly ("memory-safe") {
            word := mload(add(add(payload, 32), offset))
        }
    }

    function _tensorRoot(bytes memory payload, uint256 headerOffset, uint256 dataOffset, uint256 dataBytes)
        private
        pure
        returns (bytes32 result)
    {
        bytes32 dataRoot = _dataRoot(payload, dataOffset, dataBytes);
        uint256 headerBytes = dataOffset - headerOffset;
        assembly ("memory-safe") {
            // SAFETY: scratch above the free pointer, used before any allocation.
            let scratch := mload(0x40)
            mstore8(scratch, 0x03)
            mcopy(add(scratch, 1), add(add(payload, 32), headerOffset), headerBytes)
            mstore(add(add(scratch, 1), headerBytes), dataRoot)
            result := keccak256(scratch, add(33, headerBytes))
        }
    }

    function _dataRoot(bytes memory payload, uint256 offset, uint256 size) private pure returns (bytes32 result) {
        bytes32 tree;
        if (size != 0) tree = size > CHUNK_BYTES ? _tree(payload, offset, size) : _leaf(payload, offset, size);
        assembly ("memory-safe") {
            let scratch := mload(0x40)
            mstore8(scratch, 0x02)
            mstore(add(scratch, 1), shl(192, size))
            mstore(add(scratch, 9), tree)
            result := keccak256(scratch, 41)
        }
    }

    function _leaf(bytes memory payload, uint256 offset, uint256 size) private pure returns (bytes32 result) {
        assembly ("memory-safe") {
            let scratch := mload(0x40)
            mstore8(scratch, 0x00)
            mcopy(add(scratch, 1), add(add(payload, 32), offset), size)
            result := keccak256(scratch, add(size, 1))
        }
    }

    function _tree(bytes memory payload, uint256 offset, uint256 size) private pure returns (bytes32) {
        uint256 width = (size + CHUNK_BYTES - 1) / CHUNK_BYTES;
        bytes32[] memory level = new bytes32[](width);
        for (uint256 i; i < width; ++i) {
            uint256 start = i * CHUNK_BYTES;
            uint256 length = size - start < CHUNK_BYTES ? size - start : CHUNK_BYTES;
            level[i] = _leaf(payload, offset + start, length);
        }
        bytes32 empty;
        while (width > 1) {
            uint256 half = (width + 1) / 2;
            for (uint256 i; i < half; ++i) {
                bytes32 right = 2 * i + 1 < width ? level[2 * i + 1] : empty;
                level[i] = _node(level[2 * i], right);
            }
            empty = _node(empty, empty);
            width = half;
        }
        return level[0];
    }

    function _node(bytes32 left, bytes32 right) private pure returns (bytes32 result) {
        assembly ("memory-safe") {
            let scratch := mload(0x40)
            mstore8(scratch, 0x01)
            mstore(add(scratch, 1), left)
            mstore(add(scratch, 33), right)
            result := keccak256(scratch, 65)
        }
    }
}
