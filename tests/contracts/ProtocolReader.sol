// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IDisputeGame} from "../../contracts/interfaces/IDisputeGame.sol";
import {IInferenceOracle} from "../../contracts/interfaces/IInferenceOracle.sol";
import {IOperatorRegistry} from "../../contracts/interfaces/IOperatorRegistry.sol";
import {ISignedResults} from "../../contracts/interfaces/ISignedResults.sol";
import {ModelId, RequestId, ResultId} from "../../contracts/types/Ids.sol";
import {Offer} from "../../contracts/types/Offer.sol";
import {RequestState} from "../../contracts/types/RequestState.sol";

/// @title Reads everything that a walk compares in one call.
contract ProtocolReader {
    struct UseKey {
        ResultId resultId;
        address consumer;
    }

    struct Question {
        RequestId[] requests;
        address[] operators;
        address[] signers;
        ModelId[] models;
        address[] accounts;
        UseKey[] uses;
    }

    struct OperatorView {
        bool registered;
        uint256 stakeWei;
        uint256 lockedWei;
        uint256 earnedWei;
        uint256 unbondingWei;
        uint256 releaseAt;
        uint256 cap;
        uint256[] notAfter;
        Offer[] offers;
    }

    struct UseView {
        address operator;
        address compensateTo;
        uint256 bondWei;
        uint256 releaseAt;
        address convictedBy;
    }

    struct Reading {
        RequestState[] states;
        // Request by request, operator by operator.
        bool[] barred;
        OperatorView[] operators;
        uint256[] credits;
        uint256[] rewards;
        UseView[] uses;
    }

    IInferenceOracle private immutable _ORACLE;
    IOperatorRegistry private immutable _REGISTRY;
    IDisputeGame private immutable _GAME;
    ISignedResults private immutable _SIGNED;

    constructor(IInferenceOracle oracle, IOperatorRegistry registry, IDisputeGame game, ISignedResults signed) {
        _ORACLE = oracle;
        _REGISTRY = registry;
        _GAME = game;
        _SIGNED = signed;
    }

    function read(Question calldata question) external view returns (Reading memory reading) {
        uint256 operators = question.operators.length;
        reading.states = new RequestState[](question.requests.length);
        reading.barred = new bool[](question.requests.length * operators);
        for (uint256 i; i < question.requests.length; ++i) {
            reading.states[i] = _ORACLE.stateOf(question.requests[i]);
            for (uint256 j; j < operators; ++j) {
                reading.barred[i * operators + j] = _ORACLE.isBarred(question.requests[i], question.operators[j]);
            }
        }
        reading.operators = new OperatorView[](operators);
        for (uint256 i; i < operators; ++i) {
            reading.operators[i] = _readOperator(question, question.operators[i]);
        }
        reading.credits = new uint256[](question.accounts.length);
        reading.rewards = new uint256[](question.accounts.length);
        for (uint256 i; i < question.accounts.length; ++i) {
            reading.credits[i] = _ORACLE.creditOf(question.accounts[i]);
            reading.rewards[i] = _GAME.rewardOf(question.accounts[i]);
        }
        reading.uses = new UseView[](question.uses.length);
        for (uint256 i; i < question.uses.length; ++i) {
            reading.uses[i] = _readUse(question.uses[i]);
        }
    }

    function _readOperator(Question calldata question, address operator)
        private
        view
        returns (OperatorView memory seen)
    {
        (seen.registered, seen.stakeWei, seen.lockedWei, seen.earnedWei) = _REGISTRY.accountOf(operator);
        (seen.unbondingWei, seen.releaseAt, seen.cap) = _REGISTRY.unbondingOf(operator);
        seen.notAfter = new uint256[](question.signers.length);
        for (uint256 i; i < question.signers.length; ++i) {
            seen.notAfter[i] = _REGISTRY.signerNotAfter(operator, question.signers[i]);
        }
        seen.offers = new Offer[](question.models.length);
        for (uint256 i; i < question.models.length; ++i) {
            seen.offers[i] = _REGISTRY.offerOf(operator, question.models[i]);
        }
    }

    function _readUse(UseKey calldata key) private view returns (UseView memory seen) {
        (seen.operator, seen.compensateTo, seen.bondWei, seen.releaseAt) = _SIGNED.useOf(key.resultId, key.consumer);
        seen.convictedBy = _GAME.convictedBy(key.resultId);
    }
}
