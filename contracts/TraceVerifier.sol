// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ITraceVerifier} from "./interfaces/ITraceVerifier.sol";
import {Disclosure, Part, ProgramDisclosure, Target} from "./types/Dispute.sol";
import {ModelId} from "./types/Ids.sol";
import {Model} from "./types/Model.sol";

/// @title TraceVerifier
/// @dev Twin of `sworn.dispute.disclosure`.
/// trace root   = keccak(0x09 | uint32 values | tree over their data roots)
/// weights root = keccak(0x08 | uint32 weights | tree over their data roots)
///      data root = keccak(0x02 | uint64 bytes | tree over chunks of 1 KiB)
/// program root = keccak(0x07 | uint32 version | uint32 inputs | uint32 steps | interface hash | tree over the steps)
///
///      A node that lies beyond the leaves cannot be shown; then the roots and their counts are the whole answer, and
///      they tell a challenger what the operator had committed to.
contract TraceVerifier is ITraceVerifier {
    uint256 private constant CHUNK_BYTES = 1024;
    // A node is shown with its descendants so many levels below.
    uint256 private constant LEVELS = 4;
    uint256 private constant MAX_LEVEL = 32;
    uint32 private constant PROGRAM_VERSION = 1;

    /// @inheritdoc ITraceVerifier
    function isPlausible(Target calldata target) external pure returns (bool) {
        Part part = target.part;
        if (part == Part.Interface && target.index != 0) return false;
        if (part == Part.Steps || part == Part.Interface) return target.value == 0 && target.level == 0;
        if (_isOf(part, Part.Values) && target.value != 0) return false;
        if (_isOf(part, Part.Chunks)) return target.level == 0;
        return target.level <= MAX_LEVEL;
    }

    /// @inheritdoc ITraceVerifier
    function rootOf(bytes32[] calldata dataRoots) external pure returns (bytes32) {
        uint256 count = dataRoots.length;
        bytes32[] memory nodes = dataRoots;
        bytes32 tree = count == 0 ? bytes32(0) : _fold(nodes, _depthOf(count), 0);
        return keccak256(abi.encodePacked(uint8(0x09), uint32(count), tree));
    }

    /// @inheritdoc ITraceVerifier
    function check(bytes calldata disclosure, Target calldata target, bytes32 root) external pure {
        if (target.part < Part.Weights) {
            _checkTensors(abi.decode(disclosure, (Disclosure)), target, 0x09, root);
        } else if (target.part < Part.Steps) {
            (Model memory model, Disclosure memory shown) = abi.decode(disclosure, (Model, Disclosure));
            _requireModel(model, root);
            _checkTensors(shown, target, 0x08, model.weightsRoot);
        } else {
            (Model memory model, ProgramDisclosure memory shown) = abi.decode(disclosure, (Model, ProgramDisclosure));
            _requireModel(model, root);
            _checkProgram(shown, target, model.programRoot);
        }
    }

    /// @dev Whether a part is this one of a trace, or the same of the weights.
    function _isOf(Part part, Part ofTrace) private pure returns (bool) {
        return part == ofTrace || uint8(part) == uint8(ofTrace) + uint8(Part.Weights);
    }

    function _requireModel(Model memory model, bytes32 modelId) private pure {
        if (ModelId.unwrap(model.id()) != modelId) revert DisclosureMismatch();
    }

    function _checkTensors(Disclosure memory shown, Target calldata target, uint8 tag, bytes32 root) private pure {
        if (keccak256(abi.encodePacked(tag, shown.values, shown.valuesTree)) != root) revert DisclosureMismatch();
        _requireEmpty(shown.values, shown.valuesTree);
        if (_isOf(target.part, Part.Values)) {
            _checkNode(shown, target.level, target.index, shown.valuesTree, shown.values);
            return;
        }
        // A value that does not exist: its absence has been shown.
        if (target.value >= shown.values) return;
        bytes32 dataRoot = keccak256(abi.encodePacked(uint8(0x02), shown.length, shown.chunksTree));
        _requireWay(dataRoot, target.value, 0, shown.valueSiblings, shown.values, shown.valuesTree);
        _requireEmpty(shown.length, shown.chunksTree);
        uint256 chunks = (uint256(shown.length) + CHUNK_BYTES - 1) / CHUNK_BYTES;
        if (_isOf(target.part, Part.Nodes)) {
            _checkNode(shown, target.level, target.index, shown.chunksTree, chunks);
        } else {
            _checkChunks(shown, target.index, chunks);
        }
    }

    function _checkProgram(ProgramDisclosure memory shown, Target calldata target, bytes32 root) private pure {
        bytes memory preimage = abi.encodePacked(
            uint8(0x07), PROGRAM_VERSION, shown.inputs, shown.steps, shown.interfaceHash, shown.stepsTree
        );
        if (keccak256(preimage) != root) revert DisclosureMismatch();
        _requireEmpty(shown.steps, shown.stepsTree);
        if (target.part == Part.Interface) {
            bytes32 hash = keccak256(abi.encodePacked(uint8(0x06), shown.content));
            if (hash != shown.interfaceHash) revert DisclosureMismatch();
        } else if (target.index < shown.steps) {
            bytes32 leaf = keccak256(abi.encodePacked(uint8(0x05), shown.content));
            _requireWay(leaf, target.index, 0, shown.siblings, shown.steps, shown.stepsTree);
        }
    }

    /// @dev INVARIANT: what is empty has one root, so that none leads a challenger to where no element is wrong.
    function _requireEmpty(uint256 leaves, bytes32 tree) private pure {
        if (leaves == 0 && tree != 0) revert DisclosureMismatch();
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
        if (level > _depthOf(leaves) || index << level >= leaves) return;
        uint256 below = level > LEVELS ? LEVELS : level;
        uint256 expected = _existing(leaves, level - below, index << below, 1 << below);
        if (shown.nodes.length != expected) revert DisclosureMismatch();
        bytes32 node = _fold(shown.nodes, below, level - below);
        _requireWay(node, index, level, shown.siblings, leaves, tree);
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
        _requireWay(_fold(leaves, level, 0), group, level, shown.siblings, chunks, shown.chunksTree);
    }

    /// @dev How many of `count` nodes of a height, from `first` on, have a leaf below them.
    function _existing(uint256 leaves, uint256 level, uint256 first, uint256 count) private pure returns (uint256) {
        uint256 nodes = (leaves + (1 << level) - 1) >> level;
        return nodes - first < count ? nodes - first : count;
    }

    /// @dev A node of a height and index leads to the root of a tree over so many leaves.
    function _requireWay(
        bytes32 node,
        uint256 index,
        uint256 level,
        bytes32[] memory siblings,
        uint256 leaves,
        bytes32 tree
    ) private pure {
        if (siblings.length != _depthOf(leaves) - level) revert DisclosureMismatch();
        bytes32 missing = _missing(level);
        for (uint256 i; i < siblings.length; ++i) {
            bytes32 sibling = siblings[i];
            // INVARIANT: a subtree without leaves has one root, as it has for the referee: what can be shown can be proven.
            if ((index ^ 1) << (level + i) >= leaves && sibling != missing) revert DisclosureMismatch();
            node = index & 1 == 0 ? _join(node, sibling) : _join(sibling, node);
            index >>= 1;
            missing = _join(missing, missing);
        }
        if (node != tree) revert DisclosureMismatch();
    }

    /// @dev The root of a subtree of that height without leaves.
    function _missing(uint256 height) private pure returns (bytes32 missing) {
        for (uint256 i; i < height; ++i) {
            missing = _join(missing, missing);
        }
    }

    /// @dev The node `levels` above those of a height; missing ones are subtrees of missing leaves.
    function _fold(bytes32[] memory nodes, uint256 levels, uint256 height) private pure returns (bytes32) {
        bytes32 missing = _missing(height);
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
