// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {TraceVerifier} from "../../../contracts/TraceVerifier.sol";
import {TreeOpening} from "../../../contracts/referee/TreeOpening.sol";
import {Disclosure, Part, Target} from "../../../contracts/types/Dispute.sol";
import {CHEATS} from "./Cheatcodes.sol";

/// @title What is shown of a tree, or opened in a proof, is what was committed: for any leaves, hashes without collisions.
/// @dev The shapes are few here, the contents are anything; `test_tree_exhaustive.py` takes many shapes.
contract TreeSoundness {
    uint256 private constant MOST = 5;
    uint256 private constant WIDTH = 8;

    TraceVerifier private verifier;

    function setUp() public {
        verifier = new TraceVerifier();
    }

    /// @dev Nodes that the verifier takes are the nodes that stand there, and those it does take.
    function check_shown(
        uint8 count,
        uint8 level,
        uint8 index,
        bytes32[WIDTH] memory leaves,
        bytes32[WIDTH] memory claimed,
        bytes32[3] memory beside
    ) public view {
        uint256 leafCount = _oneOf(count, 1, MOST);
        uint256 height = _oneOf(level, 0, _depthOf(leafCount));
        uint256 place = _oneOf(index, 0, (leafCount - 1) >> height);
        bytes32[][] memory rows = _rows(leaves, leafCount);
        Disclosure memory shown;
        (shown.values, shown.valuesTree) = (uint32(leafCount), rows[rows.length - 1][0]);
        bytes32 root = keccak256(abi.encodePacked(uint8(0x09), shown.values, shown.valuesTree));
        uint256 first = place << height;
        uint256 existing = leafCount - first < 1 << height ? leafCount - first : 1 << height;
        shown.siblings = new bytes32[](rows.length - 1 - height);
        shown.nodes = new bytes32[](existing);
        Target memory target = Target({part: Part.Values, value: 0, level: uint8(height), index: uint32(place)});

        for (uint256 i; i < shown.siblings.length; ++i) {
            shown.siblings[i] = rows[height + i][place >> i ^ 1];
        }
        for (uint256 i; i < existing; ++i) {
            shown.nodes[i] = rows[0][first + i];
        }
        assert(_accepts(shown, target, root));

        for (uint256 i; i < shown.siblings.length; ++i) {
            shown.siblings[i] = beside[i];
        }
        for (uint256 i; i < existing; ++i) {
            shown.nodes[i] = claimed[i];
        }
        if (!_accepts(shown, target, root)) return;
        for (uint256 i; i < existing; ++i) {
            assert(claimed[i] == rows[0][first + i]);
        }
        for (uint256 i; i < shown.siblings.length; ++i) {
            assert(beside[i] == rows[height + i][place >> i ^ 1]);
        }
    }

    /// @dev No other number of leaves and no other tree passes for the ones that were committed to.
    function check_sealed(uint32 count, bytes32 tree, uint32 claimedCount, bytes32 claimedTree) public view {
        CHEATS.assume(count != claimedCount || tree != claimedTree);
        bytes32 root = keccak256(abi.encodePacked(uint8(0x09), count, tree));
        Disclosure memory shown;
        (shown.values, shown.valuesTree) = (claimedCount, claimedTree);
        assert(!_accepts(shown, Target({part: Part.Nodes, value: type(uint32).max, level: 0, index: 0}), root));
    }

    /// @dev Leaves that lead to the root of a tree with the hashes beside them are the leaves that stand there.
    function check_opened(
        uint8 count,
        uint8 chosen,
        bytes32[WIDTH] memory leaves,
        bytes32[WIDTH] memory claimed,
        bytes32[WIDTH] memory beside,
        uint8 given
    ) public pure {
        uint256 leafCount = _oneOf(count, 1, MOST);
        uint256 mask = _oneOf(chosen, 1, (1 << leafCount) - 1);
        uint256 siblings = _oneOf(given, 0, leafCount);
        bytes32[][] memory rows = _rows(leaves, leafCount);
        (uint256[] memory indices, bytes32[] memory nodes) = _chosen(mask, claimed);
        uint256 pointer;
        assembly ("memory-safe") {
            pointer := beside
        }
        if (TreeOpening.root(leafCount, indices, nodes, pointer, siblings) != rows[rows.length - 1][0]) return;
        for (uint256 i; i < leafCount; ++i) {
            if (mask >> i & 1 == 1) assert(claimed[i] == leaves[i]);
        }
    }

    function _chosen(uint256 mask, bytes32[WIDTH] memory claimed)
        private
        pure
        returns (uint256[] memory indices, bytes32[] memory nodes)
    {
        uint256 count;
        for (uint256 i; i < WIDTH; ++i) {
            count += mask >> i & 1;
        }
        (indices, nodes) = (new uint256[](count), new bytes32[](count));
        count = 0;
        for (uint256 i; i < WIDTH; ++i) {
            if (mask >> i & 1 == 0) continue;
            (indices[count], nodes[count]) = (i, claimed[i]);
            ++count;
        }
    }

    /// @dev All nodes of a tree, by the book: every missing leaf is there.
    function _rows(bytes32[WIDTH] memory leaves, uint256 count) private pure returns (bytes32[][] memory rows) {
        uint256 depth = _depthOf(count);
        rows = new bytes32[][](depth + 1);
        rows[0] = new bytes32[](1 << depth);
        for (uint256 i; i < count; ++i) {
            rows[0][i] = leaves[i];
        }
        for (uint256 level = 1; level <= depth; ++level) {
            rows[level] = new bytes32[](1 << (depth - level));
            for (uint256 i; i < rows[level].length; ++i) {
                rows[level][i] =
                    keccak256(abi.encodePacked(uint8(0x01), rows[level - 1][2 * i], rows[level - 1][2 * i + 1]));
            }
        }
    }

    function _depthOf(uint256 count) private pure returns (uint256 depth) {
        while (1 << depth < count) ++depth;
    }

    function _accepts(Disclosure memory shown, Target memory target, bytes32 root) private view returns (bool) {
        try verifier.check(abi.encode(shown), target, root) {
            return true;
        } catch {
            return false;
        }
    }

    /// @dev The number itself, one path for each.
    function _oneOf(uint256 value, uint256 least, uint256 greatest) private pure returns (uint256) {
        for (uint256 i = least; i < greatest; ++i) {
            if (value == i) return i;
        }
        if (value != greatest) {
            assembly ("memory-safe") {
                revert(0, 0)
            }
        }
        return greatest;
    }
}
