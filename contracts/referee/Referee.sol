// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IReferee} from "../interfaces/IReferee.sol";
import {Profile} from "../types/Model.sol";
import {ElementType} from "./ElementType.sol";
import {Evidence, EvidenceReader} from "./EvidenceReader.sol";
import {Float32} from "./Float32.sol";
import {FunctionNumber} from "./FunctionNumber.sol";
import {Claim, IRule} from "./IRule.sol";
import {Interfaces, Port} from "./Interfaces.sol";
import {ProofReader, ProofReaderLibrary} from "./ProofReader.sol";
import {OpenedData, OpenedDataLibrary} from "./OpenedData.sol";
import {RuleNumber} from "./RuleNumber.sol";
import {Words, WordsLibrary} from "./Words.sol";

/// @title The frame of the referee: checks that everything in a proof belongs together, then asks one rule.
/// @dev Assumptions: none about who brings the proof. The statement is what the caller passes, everything else in the
/// proof hangs from it by hashes, except the choice of the element and the witness, which convict only where they show
/// a fault.
contract Referee is IReferee {
    /// @notice Copies, lookups, extrema, ranks and trees.
    IRule public immutable SELECTION_RULE;
    /// @notice Sums of products of floats.
    IRule public immutable FLOAT_CONTRACTION_RULE;
    /// @notice Sums of products of integers.
    IRule public immutable INTEGER_CONTRACTION_RULE;
    /// @notice Functions that need no series.
    IRule public immutable POINTWISE_RULE;
    /// @notice Exponentials, logarithms and their like.
    IRule public immutable REAL_FUNCTION_RULE;

    // Numbers of `sworn.referee.FaultKind`.
    uint256 private constant ELEMENT = 1;
    uint256 private constant PORT = 2;
    uint256 private constant LENGTH = 3;
    uint256 private constant COUNT = 4;
    uint256 private constant INPUT_LINK = 5;

    constructor(
        IRule selectionRule,
        IRule floatContractionRule,
        IRule integerContractionRule,
        IRule pointwiseRule,
        IRule realFunctionRule
    ) {
        SELECTION_RULE = selectionRule;
        FLOAT_CONTRACTION_RULE = floatContractionRule;
        INTEGER_CONTRACTION_RULE = integerContractionRule;
        POINTWISE_RULE = pointwiseRule;
        REAL_FUNCTION_RULE = realFunctionRule;
    }

    /// @inheritdoc IReferee
    function check(bytes32 statement, bytes calldata proof) external view returns (bool) {
        ProofReader memory reader = ProofReaderLibrary.open(proof);
        Evidence memory evidence = EvidenceReader.read(reader, statement);
        uint256 kind = evidence.kind;
        bool needsStep = kind == ELEMENT || (kind == LENGTH && evidence.value >= evidence.inputs);
        bool needsInterface = kind != ELEMENT && kind != COUNT && !needsStep;
        // INVARIANT: nothing stands in a proof that does not bear on it.
        if (
            evidence.hasStep != needsStep || (evidence.interfaceBytes != 0) != needsInterface
                || (kind > PORT && evidence.index != 0) || (kind > LENGTH && evidence.value != 0)
                || (kind != ELEMENT && (evidence.hasWitness || evidence.hasWeights))
        ) revert EvidenceUnfit(kind);
        if (needsStep) return _atStep(evidence, reader, proof);
        if (needsInterface) return _atPorts(evidence, reader, proof);
        if (evidence.values.tensors.length != 0) revert EvidenceUnfit(kind);
        return evidence.values.count != evidence.inputs + evidence.steps;
    }

    /// @dev Judges an element of a step's value, or the length of that value.
    function _atStep(Evidence memory evidence, ProofReader memory reader, bytes calldata proof)
        private
        view
        returns (bool)
    {
        uint256 value = evidence.value;
        if (value != evidence.inputs + evidence.step) revert ElementMissing(value, evidence.index);
        Words memory words = Words(reader.data + evidence.stepOffset, 0);
        words.end = words.position + evidence.stepBytes;
        Claim memory claim;
        claim.bounded = evidence.profile == uint8(Profile.Bounded);
        claim.rule = words.next();
        words.nextFlag();
        uint256 elements;
        (claim.dtype, elements) = words.nextShape();
        uint256[] memory axes = words.nextList();
        claim.bodyStart = words.position - reader.data;
        claim.bodyEnd = words.end - reader.data;
        claim.axesFit = WordsLibrary.product(axes) == elements;
        IRule rule = _ruleOf(claim, words);
        if (evidence.kind == LENGTH) {
            uint256 given = evidence.byteLength();
            // Of a claim that no type may hold a rule judges nothing but whether the step makes sense.
            claim.coordinates = new uint256[](axes.length);
            return rule.refutes(claim, proof) && given != elements * ElementType.size(claim.dtype);
        }
        if (evidence.values.count != evidence.inputs + evidence.steps) revert EvidenceUnfit(ELEMENT);
        claim.opened = evidence.allOpened();
        claim.bits = _bits(evidence, proof, claim.dtype, elements);
        claim.canonical = _isCanonical(claim.bits, claim.dtype);
        claim.coordinates = _unravel(evidence.index, axes);
        claim.witness = evidence.witness;
        bool needsWitness = claim.canonical && (claim.rule == RuleNumber.EXTREMUM || claim.rule == RuleNumber.TREE);
        if (evidence.hasWitness != needsWitness || (evidence.hasWeights && !claim.canonical)) {
            revert EvidenceUnfit(ELEMENT);
        }
        return rule.refutes(claim, proof);
    }

    function _atPorts(Evidence memory evidence, ProofReader memory reader, bytes calldata proof)
        private
        pure
        returns (bool)
    {
        Words memory words = Words(reader.data + evidence.interfaceOffset, 0);
        words.end = words.position + evidence.interfaceBytes;
        (Port[] memory inputs, Port[] memory outputs) = Interfaces.decode(words);
        uint256 kind = evidence.kind;
        if (kind >= INPUT_LINK) {
            bool first = kind == INPUT_LINK;
            bytes32 linked = Interfaces.linkedRoot(reader, first ? inputs : outputs, evidence.values, kind);
            return linked != (first ? evidence.inputRoot : evidence.outputRoot);
        }
        uint256 value = evidence.value;
        if (kind == LENGTH) {
            if (value >= inputs.length) revert ElementMissing(value, 0);
            Port memory input = inputs[value];
            return evidence.byteLength() != Interfaces.elements(input) * ElementType.size(input.dtype);
        }
        Port memory port = Interfaces.find(inputs, outputs, value);
        uint256 bits = _bits(evidence, proof, port.dtype, Interfaces.elements(port));
        // A payload holds what is canonical, without infinities.
        return !_isCanonical(bits, port.dtype) || (port.dtype == ElementType.FLOAT32 && Float32.isInfinite(bits));
    }

    function _ruleOf(Claim memory claim, Words memory words) private view returns (IRule) {
        uint256 rule = claim.rule;
        if (rule == RuleNumber.CONTRACT) {
            return claim.dtype == ElementType.FLOAT32 ? FLOAT_CONTRACTION_RULE : INTEGER_CONTRACTION_RULE;
        }
        if (rule == RuleNumber.POINTWISE) {
            return FunctionNumber.isReal(words.next()) ? REAL_FUNCTION_RULE : POINTWISE_RULE;
        }
        if (rule == 0 || rule > RuleNumber.TREE) words.fail();
        return SELECTION_RULE;
    }

    /// @dev The bits of the element at fault. Reverts where it is not there, or not opened.
    function _bits(Evidence memory evidence, bytes calldata proof, uint256 dtype, uint256 elements)
        private
        pure
        returns (uint256)
    {
        uint256 index = evidence.index;
        if (index >= elements) revert ElementMissing(evidence.value, index);
        OpenedData memory data =
            OpenedDataLibrary.unpack(evidence.openedValue(), proof, ElementType.size(dtype), elements);
        return data.read(int256(index));
    }

    /// @dev Whether bits may stand in a tensor: no NaN, no -0, no bool but 0 and 1. Infinities may.
    function _isCanonical(uint256 bits, uint256 dtype) private pure returns (bool) {
        if (dtype == ElementType.BOOL) return bits <= 1;
        return dtype != ElementType.FLOAT32 || (!Float32.isNaN(bits) && bits != Float32.SIGN);
    }

    /// @dev The coordinates of a flat row-major index.
    function _unravel(uint256 index, uint256[] memory extents) private pure returns (uint256[] memory coordinates) {
        coordinates = new uint256[](extents.length);
        for (uint256 k = extents.length; k != 0; --k) {
            uint256 extent = extents[k - 1];
            if (extent == 0) revert StepMalformed(k);
            (coordinates[k - 1], index) = (index % extent, index / extent);
        }
    }
}
