// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ITraceVerifier} from "./interfaces/ITraceVerifier.sol";
import {Disclosure, Part, Target} from "./types/Dispute.sol";

/// @title TraceVerifier
/// @dev Twin of `sworn.codec.trees`.
/// trace root = keccak(0x09 | uint32 values | tree over their data roots)
///      data root  = keccak(0x02 | uint64 bytes | tree over chunks of 1 KiB)
///
///      A node that lies beyond the leaves cannot be shown; then the roots and their counts are the whole answer, and
///      they tell a challenger what the operator had committed to.
contract TraceVerifier is ITraceVerifier {
    uint256 private constant CHUNK_BYTES = 1024;
    // A node is shown with its descendants so many levels below.
    uint256 private constant LEVELS = 4;

    /// @inheritdoc ITraceVerifier
    function isPlausible(Target calldata target) external pure returns (bool) {
        if (target.part == Part.Values && target.value != 0) return false;
        if (target.part == Part.Chunks) return target.level == 0;
        return target.level <= 32;
    }

    /// @inheritdoc ITraceVerifier
    function rootOf(bytes32[] calldata dataRoots) external pure returns (bytes32) {
        uint256 count = dataRoots.length;
        bytes32[] memory nodes = dataRoots;
        bytes32 tree = count == 0 ? bytes32(0) : _fold(nodes, _depthOf(count), 0);
        return keccak256(abi.encodePacked(uint8(0x09), uint32(count), tree));
    }

    /// @inheritdoc ITraceVerifier
    function check(bytes calldata disclosure, Target calldata target, bytes32 traceRoot) external pure {
        Disclosure memory shown = abi.decode(disclosure, (Disclosure));
        bytes32 root = keccak256(abi.encodePacked(uint8(0x09), shown.values, shown.valuesTree));
        if (root != traceRoot) revert DisclosureMismatch();
        if (target.part == Part.Values) {
            _checkNode(shown, target.level, target.index, shown.valuesTree, shown.values);
            return;
        }
        // A value that does not exist: its absence has been shown.
        if (target.value >= shown.values) return;
        bytes32 dataRoot = keccak256(abi.encodePacked(uint8(0x02), shown.length, shown.chunksTree));
        bytes32 tree = _climb(dataRoot, target.value, shown.valueSiblings, _depthOf(shown.values));
        if (tree != shown.valuesTree) revert DisclosureMismatch();
        uint256 chunks = (uint256(shown.length) + CHUNK_BYTES - 1) / CHUNK_BYTES;
        if (target.part == Part.Nodes) {
            _checkNode(shown, target.level, target.index, shown.chunksTree, chunks);
        } else {
            _checkChunks(shown, target.index, chunks);
        }
    }

    /// @dev Height of the tree over so many leaves.
    function _depthOf(uint256 leaves) private pure returns (uint256 depth) {
        while (1 << depth < leaves) ++depth;
    }

    /// @dev The node at a height and index, from its descendants, leads to the tree's root.
    function _checkNode(Disclosure memory shown, uint256 level, uint256 index, bytes32 tree, uint256 leaves)
        private
        pure
    {
        uint256 depth = _depthOf(leaves);
        if (level > depth || index << level >= leaves) return;
        uint256 below = level > LEVELS ? LEVELS : level;
        uint256 expected = _existing(leaves, level - below, index << below, 1 << below);
        if (shown.nodes.length != expected) revert DisclosureMismatch();
        bytes32 node = _fold(shown.nodes, below, level - below);
        _checkWay(shown, node, index, level, tree, depth);
    }

    function _checkChunks(Disclosure memory shown, uint256 group, uint256 chunks) private pure {
        uint256 first = group << LEVELS;
        if (first >= chunks) return;
        uint256 depth = _depthOf(chunks);
        uint256 level = depth < LEVELS ? depth : LEVELS;
        uint256 count = _existing(chunks, 0, first, 1 << level);
        uint256 start = first * CHUNK_BYTES;
        uint256 size = count * CHUNK_BYTES;
        if (start + size > shown.length) size = shown.length - start;
        if (shown.chunks.length != size) revert DisclosureMismatch();
        bytes32[] memory leaves = new bytes32[](count);
        for (uint256 i; i < count; ++i) {
            uint256 end = (i + 1) * CHUNK_BYTES;
            leaves[i] = _leaf(shown.chunks, i * CHUNK_BYTES, end > size ? size : end);
        }
        _checkWay(shown, _fold(leaves, level, 0), group, level, shown.chunksTree, depth);
    }

    function _checkWay(Disclosure memory shown, bytes32 node, uint256 index, uint256 level, bytes32 tree, uint256 depth)
        private
        pure
    {
        if (_climb(node, index, shown.siblings, depth - level) != tree) revert DisclosureMismatch();
    }

    /// @dev How many of `count` nodes of a height, from `first` on, have a leaf below them.
    function _existing(uint256 leaves, uint256 level, uint256 first, uint256 count) private pure returns (uint256) {
        uint256 nodes = (leaves + (1 << level) - 1) >> level;
        return nodes - first < count ? nodes - first : count;
    }

    function _climb(bytes32 node, uint256 index, bytes32[] memory siblings, uint256 depth)
        private
        pure
        returns (bytes32)
    {
        if (siblings.length != depth) revert DisclosureMismatch();
        for (uint256 i; i < depth; ++i) {
            node = index >> i & 1 == 0 ? _join(node, siblings[i]) : _join(siblings[i], node);
        }
        return node;
    }

    /// @dev The node `levels` above those of a height; missing ones are subtrees of missing leaves.
    function _fold(bytes32[] memory nodes, uint256 levels, uint256 height) private pure returns (bytes32) {
        bytes32 missing;
        for (uint256 i; i < height; ++i) {
            missing = _join(missing, missing);
        }
        uint256 count = nodes.length;
        for (uint256 level; level < levels; ++level) {
            for (uint256 i; i < count; i += 2) {
                nodes[i / 2] = _join(nodes[i], i + 1 < count ? nodes[i + 1] : missing);
            }
            count = (count + 1) / 2;
            missing = _join(missing, missing);
        }
        return nodes[0];
    }

    function _leaf(bytes memory data, uint256 start, uint256 end) private pure returns (bytes32 leaf) {
        assembly ("memory-safe") {
            let scratch := mload(0x40)
            mstore8(scratch, 0x00)
            mcopy(add(scratch, 1), add(add(data, 32), start), sub(end, start))
            leaf := keccak256(scratch, add(1, sub(end, start)))
        }
    }

    function _join(bytes32 left, bytes32 right) private pure returns (bytes32 node) {
        assembly ("memory-safe") {
            // SAFETY: scratch above the free pointer, used at once.
            let scratch := mload(0x40)
            mstore8(scratch, 0x01)
            mstore(add(scratch, 1), left)
            mstore(add(scratch, 33), right)
            node := keccak256(scratch, 65)
        }
    }
}
