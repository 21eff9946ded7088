// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {IInferenceConsumer} from "./interfaces/IInferenceConsumer.sol";
import {IInferenceOracle} from "./interfaces/IInferenceOracle.sol";
import {IModelRegistry} from "./interfaces/IModelRegistry.sol";
import {IOperatorRegistry} from "./interfaces/IOperatorRegistry.sol";
import {BoundedCall} from "./libraries/BoundedCall.sol";
import {Bond} from "./types/Bond.sol";
import {Failure, FailureCode} from "./types/Failure.sol";
import {ModelId, RequestId, ResultId} from "./types/Ids.sol";
import {Profile} from "./types/Model.sol";
import {Parameters} from "./types/Parameters.sol";
import {Assurance, Request, RequestParams} from "./types/Request.sol";
import {CallbackKind, PackedRequestState, RequestState, RequestStateLibrary, Status} from "./types/RequestState.sol";
import {Answer, Result} from "./types/Result.sol";
import {TensorPayload} from "./types/TensorPayload.sol";

/// @title InferenceOracle
contract InferenceOracle is IInferenceOracle, EIP712, ReentrancyGuardTransient {
    IModelRegistry public immutable MODEL_REGISTRY;
    IOperatorRegistry public immutable OPERATOR_REGISTRY;
    address public immutable DISPUTE_GAME;
    uint256 public immutable MIN_WINDOW_SECONDS;
    uint256 public immutable MAX_WINDOW_SECONDS;
    uint256 public immutable MAX_CALLBACK_GAS;
    uint256 public immutable MAX_INPUT_BYTES;
    uint256 public immutable MAX_OUTPUT_BYTES;
    uint256 public immutable MIN_BOND_WEI;
    uint256 public immutable MAX_LIFETIME_SECONDS;

    mapping(RequestId requestId => PackedRequestState) private _states;
    mapping(RequestId requestId => mapping(address operator => bool)) private _barred;
    mapping(address account => uint256 amountWei) private _credits;

    modifier onlyDisputeGame() {
        if (msg.sender != DISPUTE_GAME) revert CallerNotDisputeGame(msg.sender);
        _;
    }

    constructor(
        IModelRegistry modelRegistry,
        IOperatorRegistry operatorRegistry,
        address disputeGame,
        Parameters memory parameters
    ) EIP712("sworn", "1") {
        MODEL_REGISTRY = modelRegistry;
        OPERATOR_REGISTRY = operatorRegistry;
        DISPUTE_GAME = disputeGame;
        MIN_WINDOW_SECONDS = parameters.minWindowSeconds;
        MAX_WINDOW_SECONDS = parameters.maxWindowSeconds;
        MAX_CALLBACK_GAS = parameters.maxCallbackGas;
        MAX_INPUT_BYTES = parameters.maxInputBytes;
        MAX_OUTPUT_BYTES = parameters.maxOutputBytes;
        MIN_BOND_WEI = parameters.minBondWei;
        MAX_LIFETIME_SECONDS = parameters.maxLifetimeSeconds;
    }

    /* REQUEST */

    /// @inheritdoc IInferenceOracle
    /// @dev Not guarded against reentrancy, so that a callback may ask the next question: it only writes a fresh slot.
    function request(RequestParams calldata params, bytes calldata input)
        external
        payable
        returns (RequestId requestId)
    {
        _checkParams(params, input.length);
        Request memory made = Request({
            modelId: params.modelId,
            inputRoot: params.inputRoot,
            requester: msg.sender,
            operator: params.operator,
            refundTo: params.refundTo,
            feeWei: uint96(msg.value),
            valueAtRiskWei: params.valueAtRiskWei,
            callbackGas: params.callbackGas,
            windowSeconds: params.windowSeconds,
            deadline: params.deadline,
            assurance: params.assurance,
            salt: params.salt
        });
        requestId = made.idOf(address(this));
        // INVARIANT: ids are single-use; a slot never returns to zero.
        if (PackedRequestState.unwrap(_states[requestId]) != 0) revert RequestExists(requestId);

        _states[requestId] = PackedRequestState.wrap(uint256(Status.Requested));

        emit InferenceRequested(requestId, made.modelId, made.operator, made, input);
    }

    /* PROPOSE */

    /// @inheritdoc IInferenceOracle
    function propose(Request calldata request_, Answer calldata answer, bytes calldata signature)
        external
        nonReentrant
        returns (ResultId resultId)
    {
        RequestId requestId = request_.id(address(this));
        RequestState memory state = _states[requestId].unpack();
        _requireStatus(requestId, state, Status.Requested);
        uint256 deadline = uint256(request_.deadline) + state.extensionSeconds;
        if (block.timestamp > deadline) revert DeadlinePassed(requestId, deadline);
        return _propose(requestId, state, request_, answer, signature);
    }

    /// @inheritdoc IInferenceOracle
    function proposeMany(Request[] calldata requests, Answer[] calldata answers, bytes[] calldata signatures)
        external
        nonReentrant
        returns (uint256 proposed)
    {
        if (requests.length != answers.length || requests.length != signatures.length) {
            revert BatchLengthMismatch();
        }
        for (uint256 i; i < requests.length; ++i) {
            RequestId requestId = requests[i].id(address(this));
            RequestState memory state = _states[requestId].unpack();
            if (state.status != Status.Requested) continue;
            if (block.timestamp > uint256(requests[i].deadline) + state.extensionSeconds) continue;
            _propose(requestId, state, requests[i], answers[i], signatures[i]);
            ++proposed;
        }
    }

    function _propose(
        RequestId requestId,
        RequestState memory state,
        Request calldata request_,
        Answer calldata answer,
        bytes calldata signature
    ) private returns (ResultId resultId) {
        if (request_.operator != address(0) && answer.operator != request_.operator) {
            revert OperatorNotNamed(requestId, answer.operator, request_.operator);
        }
        // INVARIANT: a convicted operator never answers the same request again.
        if (state.hasBarred && _barred[requestId][answer.operator]) {
            revert OperatorBarredFromRequest(requestId, answer.operator);
        }
        if (answer.output.length > MAX_OUTPUT_BYTES) {
            revert OutputSizeInvalid(answer.output.length, MAX_OUTPUT_BYTES);
        }
        Profile profile = MODEL_REGISTRY.profileOf(request_.modelId);
        if (profile == Profile.None) revert ModelNotRegistered(request_.modelId);
        if (profile == Profile.Bounded && answer.traceRoot == 0) revert TraceRootMissing(requestId);
        resultId = _resultId(requestId, request_, answer);

        state.status = Status.Proposed;
        state.proposedAt = uint40(block.timestamp);
        state.resultTag = _tag(resultId);
        state.pending = CallbackKind.None;
        _states[requestId] = state.pack();
        OPERATOR_REGISTRY.lockBond(
            answer.operator,
            ECDSA.recoverCalldata(ResultId.unwrap(resultId), signature),
            request_.deadline,
            request_.operator == address(0) ? request_.modelId : ModelId.wrap(0),
            bondFor(request_.valueAtRiskWei)
        );

        emit ResultProposed(
            requestId, answer.operator, resultId, state.round, answer.traceRoot, answer.output, signature
        );

        if (request_.assurance == Assurance.Provisional) {
            _callBack(
                requestId,
                request_,
                CallbackKind.Provisional,
                _resultCallback(requestId, request_.salt, resultId, state.round, false, answer.output)
            );
        }
    }

    /// @inheritdoc IInferenceOracle
    function fail(Request calldata request_, address operator, FailureCode code, bytes calldata signature)
        external
        nonReentrant
    {
        RequestId requestId = request_.id(address(this));
        RequestState memory state = _states[requestId].unpack();
        _requireStatus(requestId, state, Status.Requested);
        if (request_.operator != address(0) && operator != request_.operator) {
            revert OperatorNotNamed(requestId, operator, request_.operator);
        }
        address signer = ECDSA.recoverCalldata(
            _hashTypedDataV4(Failure({requestId: requestId, operator: operator, code: code}).structHash()), signature
        );
        uint256 notAfter = OPERATOR_REGISTRY.signerNotAfter(operator, signer);
        if (request_.deadline > notAfter) {
            revert IOperatorRegistry.SignerNotAuthorized(operator, signer, request_.deadline, notAfter);
        }
        if (request_.operator == address(0)) {
            emit FailureReported(requestId, operator, code);
            return;
        }

        state.status = Status.Failed;
        state.resultTag = bytes20(uint160(code));
        state.pending = CallbackKind.None;
        _states[requestId] = state.pack();
        _credits[request_.refundTo] += request_.feeWei;

        emit RequestFailed(requestId, operator, code);

        _callBack(
            requestId,
            request_,
            CallbackKind.Failed,
            abi.encodeCall(IInferenceConsumer.onInferenceFailed, (requestId, request_.salt, code))
        );
    }

    /* FINALIZE */

    /// @inheritdoc IInferenceOracle
    function finalize(Request calldata request_, Answer calldata answer) external nonReentrant {
        RequestId requestId = request_.id(address(this));
        RequestState memory state = _states[requestId].unpack();
        _requireStatus(requestId, state, Status.Proposed);
        uint256 closesAt = uint256(state.proposedAt) + request_.windowSeconds;
        if (block.timestamp <= closesAt) revert WindowOpen(requestId, closesAt);
        ResultId resultId = _resultId(requestId, request_, answer);
        if (_tag(resultId) != state.resultTag) revert ResultMismatch(requestId, resultId, state.resultTag);
        _finalize(requestId, resultId, state, request_, answer);
    }

    /// @inheritdoc IInferenceOracle
    function finalizeMany(Request[] calldata requests, Answer[] calldata answers)
        external
        nonReentrant
        returns (uint256 finalized)
    {
        if (requests.length != answers.length) revert BatchLengthMismatch();
        for (uint256 i; i < requests.length; ++i) {
            RequestId requestId = requests[i].id(address(this));
            RequestState memory state = _states[requestId].unpack();
            if (state.status != Status.Proposed) continue;
            if (block.timestamp <= uint256(state.proposedAt) + requests[i].windowSeconds) continue;
            ResultId resultId = _resultId(requestId, requests[i], answers[i]);
            if (_tag(resultId) != state.resultTag) continue;
            _finalize(requestId, resultId, state, requests[i], answers[i]);
            ++finalized;
        }
    }

    function _finalize(
        RequestId requestId,
        ResultId resultId,
        RequestState memory state,
        Request calldata request_,
        Answer calldata answer
    ) private {
        state.status = Status.Finalized;
        state.pending = CallbackKind.None;
        _states[requestId] = state.pack();
        // INVARIANT: the operator is paid and its bond freed before the consumer runs, whatever the consumer does.
        OPERATOR_REGISTRY.releaseBond(answer.operator, bondFor(request_.valueAtRiskWei), request_.feeWei);

        emit ResultFinalized(requestId, answer.operator, resultId);

        _callBack(
            requestId,
            request_,
            CallbackKind.Final,
            _resultCallback(requestId, request_.salt, resultId, state.round, true, answer.output)
        );
    }

    /// @inheritdoc IInferenceOracle
    function expire(Request calldata request_) external {
        RequestId requestId = request_.id(address(this));
        RequestState memory state = _states[requestId].unpack();
        _requireStatus(requestId, state, Status.Requested);
        uint256 deadline = uint256(request_.deadline) + state.extensionSeconds;
        if (block.timestamp <= deadline) revert DeadlineNotPassed(requestId, deadline);

        state.status = Status.Expired;
        _states[requestId] = state.pack();
        _credits[request_.refundTo] += request_.feeWei;

        emit RequestExpired(requestId);
    }

    /* CALLBACKS */

    /// @inheritdoc IInferenceOracle
    function retryCallback(Request calldata request_, Answer calldata answer) external nonReentrant {
        RequestId requestId = request_.id(address(this));
        RequestState memory state = _states[requestId].unpack();
        CallbackKind kind = state.pending;
        if (kind == CallbackKind.None) revert CallbackNotPending(requestId);
        bytes memory data;
        if (kind == CallbackKind.Failed) {
            FailureCode code = FailureCode(uint8(uint160(state.resultTag)));
            data = abi.encodeCall(IInferenceConsumer.onInferenceFailed, (requestId, request_.salt, code));
        } else if (kind == CallbackKind.Refuted) {
            bool reopened = state.status == Status.Requested;
            data = abi.encodeCall(
                IInferenceConsumer.onInferenceRefuted, (requestId, request_.salt, state.round, reopened)
            );
        } else {
            ResultId resultId = _resultId(requestId, request_, answer);
            if (_tag(resultId) != state.resultTag) revert ResultMismatch(requestId, resultId, state.resultTag);
            bool isFinal = kind == CallbackKind.Final;
            data = _resultCallback(requestId, request_.salt, resultId, state.round, isFinal, answer.output);
        }

        state.pending = CallbackKind.None;
        _states[requestId] = state.pack();

        emit CallbackRetried(requestId, kind);

        _requireCallbackGas(request_.callbackGas);
        // SAFETY: the caller pays for all gas that it sends, so the retry may use more than was asked for.
        uint256 gasLimit = gasleft() - BoundedCall.RESERVE_GAS;
        if (!BoundedCall.tryCall(request_.requester, gasLimit, data)) revert CallbackStillFailing(requestId);
    }

    function _callBack(RequestId requestId, Request calldata request_, CallbackKind kind, bytes memory data) private {
        if (request_.callbackGas == 0) return;
        _requireCallbackGas(request_.callbackGas);
        if (BoundedCall.tryCall(request_.requester, request_.callbackGas, data)) return;

        RequestState memory state = _states[requestId].unpack();
        state.pending = kind;
        _states[requestId] = state.pack();

        emit CallbackFailed(requestId, kind);
    }

    function _requireCallbackGas(uint256 callbackGas) private view {
        uint256 required = BoundedCall.gasRequired(callbackGas);
        // INVARIANT: a callback fails by its own doing, never because a relayer sent too little gas.
        if (gasleft() < required) revert GasTooLowForCallback(gasleft(), required);
    }

    function _resultCallback(
        RequestId requestId,
        bytes32 salt,
        ResultId resultId,
        uint8 round,
        bool isFinal,
        bytes calldata output
    ) private pure returns (bytes memory) {
        return abi.encodeCall(IInferenceConsumer.onInferenceResult, (requestId, salt, resultId, round, isFinal, output));
    }

    /* DISPUTE */

    /// @inheritdoc IInferenceOracle
    function dispute(Request calldata request_, address operator, bytes32 outputRoot, bytes32 traceRoot)
        external
        onlyDisputeGame
        returns (ResultId resultId, uint256 closesAt)
    {
        RequestId requestId = request_.id(address(this));
        PackedRequestState packed = _states[requestId];
        if (packed.status() != Status.Proposed) revert StatusUnexpected(requestId, packed.status(), Status.Proposed);
        resultId = ResultId.wrap(
            _hashTypedDataV4(_resultWith(requestId, request_, operator, outputRoot, traceRoot).structHash())
        );
        if (_tag(resultId) != packed.resultTag()) revert ResultMismatch(requestId, resultId, packed.resultTag());
        closesAt = packed.proposedAt() + request_.windowSeconds;
        if (block.timestamp > closesAt) revert WindowClosed(requestId, closesAt);

        _states[requestId] = packed.withStatus(Status.Disputed);

        emit ResultDisputed(requestId, resultId);
    }

    /// @inheritdoc IInferenceOracle
    function uphold(Request calldata request_, ResultId resultId) external onlyDisputeGame {
        RequestId requestId = request_.id(address(this));
        PackedRequestState packed = _states[requestId];
        if (packed.status() != Status.Disputed) revert StatusUnexpected(requestId, packed.status(), Status.Disputed);
        if (_tag(resultId) != packed.resultTag()) revert ResultMismatch(requestId, resultId, packed.resultTag());

        _states[requestId] = packed.withStatus(Status.Proposed);

        emit ResultUpheld(requestId, resultId);
    }

    /// @inheritdoc IInferenceOracle
    function refute(Request calldata request_, address operator, ResultId resultId)
        external
        onlyDisputeGame
        nonReentrant
        returns (bool refuted)
    {
        RequestId requestId = request_.id(address(this));
        RequestState memory state = _states[requestId].unpack();
        bool stands = state.status == Status.Proposed || state.status == Status.Disputed;
        if (!stands || state.resultTag != _tag(resultId)) return false;

        bool reopened = request_.operator == address(0);
        bool wasTold = request_.assurance == Assurance.Provisional && state.pending == CallbackKind.None;
        // SAFETY: every round costs an operator a bond; saturate rather than wrap.
        if (state.round < RequestStateLibrary.MAX_ROUND) ++state.round;
        state.extensionSeconds = _extended(state, request_);
        state.status = reopened ? Status.Requested : Status.Refuted;
        state.pending = CallbackKind.None;
        state.proposedAt = 0;
        state.resultTag = 0;
        state.hasBarred = true;
        _states[requestId] = state.pack();
        _barred[requestId][operator] = true;
        if (!reopened) _credits[request_.refundTo] += request_.feeWei;

        emit ResultRefuted(requestId, operator, resultId, reopened, uint256(request_.deadline) + state.extensionSeconds);

        // A consumer that never learnt of the provisional result has nothing to undo, but it still has to learn that a
        // named operator's request is over.
        if (wasTold || !reopened) {
            _callBack(
                requestId,
                request_,
                CallbackKind.Refuted,
                abi.encodeCall(IInferenceConsumer.onInferenceRefuted, (requestId, request_.salt, state.round, reopened))
            );
        }
        return true;
    }

    /// @inheritdoc IInferenceOracle
    function bar(Request calldata request_, address operator)
        external
        onlyDisputeGame
        nonReentrant
        returns (bool newlyBarred)
    {
        RequestId requestId = request_.id(address(this));
        if (_barred[requestId][operator]) return false;
        RequestState memory state = _states[requestId].unpack();

        bool refunded = state.status == Status.Requested && request_.operator == operator;
        _barred[requestId][operator] = true;
        state.hasBarred = true;
        if (refunded) {
            state.status = Status.Refuted;
            _credits[request_.refundTo] += request_.feeWei;
        }
        _states[requestId] = state.pack();

        emit OperatorBarred(requestId, operator, refunded);

        if (refunded) {
            _callBack(
                requestId,
                request_,
                CallbackKind.Refuted,
                abi.encodeCall(IInferenceConsumer.onInferenceRefuted, (requestId, request_.salt, state.round, false))
            );
        }
        return true;
    }

    /* PAYMENTS */

    /// @inheritdoc IInferenceOracle
    function withdraw() external {
        withdrawFor(payable(msg.sender));
    }

    /// @inheritdoc IInferenceOracle
    function withdrawFor(address payable account) public nonReentrant {
        uint256 amountWei = _credits[account];
        if (amountWei == 0) revert CreditMissing(account);

        _credits[account] = 0;

        emit CreditWithdrawn(account, amountWei);

        if (!BoundedCall.trySend(account, amountWei)) revert PaymentFailed(account, amountWei);
    }

    /// @inheritdoc IInferenceOracle
    function payEarnings(address payable to, uint256 amountWei) external nonReentrant {
        if (msg.sender != address(OPERATOR_REGISTRY)) revert CallerNotOperatorRegistry(msg.sender);
        if (!BoundedCall.trySend(to, amountWei)) revert PaymentFailed(to, amountWei);
    }

    /* VIEWS */

    /// @inheritdoc IInferenceOracle
    function stateOf(RequestId requestId) external view returns (RequestState memory) {
        return _states[requestId].unpack();
    }

    /// @inheritdoc IInferenceOracle
    function isBarred(RequestId requestId, address operator) external view returns (bool) {
        return _barred[requestId][operator];
    }

    /// @inheritdoc IInferenceOracle
    function creditOf(address account) external view returns (uint256) {
        return _credits[account];
    }

    /// @inheritdoc IInferenceOracle
    function requestIdOf(Request calldata request_) external view returns (RequestId) {
        return request_.id(address(this));
    }

    /// @inheritdoc IInferenceOracle
    function resultOf(Request calldata request_, Answer calldata answer) external view returns (Result memory) {
        return _result(request_.id(address(this)), request_, answer);
    }

    /// @inheritdoc IInferenceOracle
    function bondFor(uint256 valueAtRiskWei) public view returns (uint256) {
        return Bond.sizeFor(valueAtRiskWei, MIN_BOND_WEI);
    }

    /// @inheritdoc IInferenceOracle
    function digestOf(Result calldata result) external view returns (ResultId) {
        return ResultId.wrap(_hashTypedDataV4(result.structHash()));
    }

    /// @inheritdoc IInferenceOracle
    function failureDigestOf(Failure calldata failure) external view returns (bytes32) {
        return _hashTypedDataV4(failure.structHash());
    }

    /* INTERNAL */

    function _checkParams(RequestParams calldata params, uint256 inputBytes) private view {
        if (params.refundTo == address(0)) revert RefundAddressInvalid();
        if (params.windowSeconds < MIN_WINDOW_SECONDS || params.windowSeconds > MAX_WINDOW_SECONDS) {
            revert WindowOutOfRange(params.windowSeconds, MIN_WINDOW_SECONDS, MAX_WINDOW_SECONDS);
        }
        if (params.deadline < block.timestamp || params.deadline > block.timestamp + MAX_LIFETIME_SECONDS) {
            revert DeadlineOutOfRange(params.deadline, block.timestamp, block.timestamp + MAX_LIFETIME_SECONDS);
        }
        if (params.callbackGas > MAX_CALLBACK_GAS) revert CallbackGasTooHigh(params.callbackGas, MAX_CALLBACK_GAS);
        if (inputBytes == 0 || inputBytes > MAX_INPUT_BYTES) revert InputSizeInvalid(inputBytes, MAX_INPUT_BYTES);
        // INVARIANT: a fee fits an operator's packed earnings.
        if (msg.value > type(uint80).max) revert FeeTooHigh(msg.value);
    }

    /// @dev The time that a false result stood is given back, and at least one window is left: a lie told in the last
    /// second must not leave the others none.
    function _extended(RequestState memory state, Request calldata request_) private view returns (uint32) {
        uint256 extension = state.extensionSeconds + (block.timestamp - state.proposedAt);
        uint256 deadline = block.timestamp + request_.windowSeconds;
        uint256 needed = deadline > request_.deadline ? deadline - request_.deadline : 0;
        // SAFETY: windows and lifetimes are weeks; 32 bits of seconds are 136 years.
        return uint32(extension > needed ? extension : needed);
    }

    function _requireStatus(RequestId requestId, RequestState memory state, Status expected) private pure {
        if (state.status != expected) revert StatusUnexpected(requestId, state.status, expected);
    }

    function _tag(ResultId resultId) private pure returns (bytes20) {
        return bytes20(ResultId.unwrap(resultId));
    }

    function _resultId(RequestId requestId, Request calldata request_, Answer calldata answer)
        private
        view
        returns (ResultId)
    {
        return ResultId.wrap(_hashTypedDataV4(_result(requestId, request_, answer).structHash()));
    }

    function _result(RequestId requestId, Request calldata request_, Answer calldata answer)
        private
        pure
        returns (Result memory)
    {
        bytes32 outputRoot = TensorPayload.root(answer.output);
        return _resultWith(requestId, request_, answer.operator, outputRoot, answer.traceRoot);
    }

    function _resultWith(
        RequestId requestId,
        Request calldata request_,
        address operator,
        bytes32 outputRoot,
        bytes32 traceRoot
    ) private pure returns (Result memory) {
        return Result({
            requestId: requestId,
            modelId: request_.modelId,
            inputRoot: request_.inputRoot,
            outputRoot: outputRoot,
            traceRoot: traceRoot,
            operator: operator,
            expiry: request_.deadline
        });
    }
}
