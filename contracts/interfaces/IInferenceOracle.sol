// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {ModelId, RequestId, ResultId} from "../types/Ids.sol";
import {Request, RequestParams} from "../types/Request.sol";
import {CallbackKind, RequestState, Status} from "../types/RequestState.sol";
import {Answer, Result} from "../types/Result.sol";
import {Failure, FailureCode} from "../types/Failure.sol";

/// @title Request, propose, finalize, call back.
/// @notice A contract or account asks for the output of a model; an operator's signed, bonded result answers; after the
/// challenge window the answer is final.
/// @dev The oracle assumes:
/// - `ModelRegistry`, `OperatorRegistry` and `DisputeGame` are the contracts fixed at its deployment.
/// - A consumer may do anything in its callback, including reverting, reentering and wasting all gas it is given.
/// - Block timestamps are correct to within seconds; windows are minutes or more.
interface IInferenceOracle {
    /// @notice Thrown when the caller is not the contract fixed at deployment that may do this.
    error CallerNotDisputeGame(address caller);
    /// @notice Thrown when the caller is not the operator registry.
    error CallerNotOperatorRegistry(address caller);
    /// @notice Thrown when an identical request exists or has existed.
    error RequestExists(RequestId requestId);
    /// @notice Thrown when the refund address is zero.
    error RefundAddressInvalid();
    /// @notice Thrown when the challenge window is out of range.
    error WindowOutOfRange(uint256 windowSeconds, uint256 minimum, uint256 maximum);
    /// @notice Thrown when the deadline has passed or lies beyond the longest lifetime of a result.
    error DeadlineOutOfRange(uint256 deadline, uint256 earliest, uint256 latest);
    /// @notice Thrown when more gas is asked for the callback than the oracle gives.
    error CallbackGasTooHigh(uint256 callbackGas, uint256 maximum);
    /// @notice Thrown when the input payload is empty or too long.
    error InputSizeInvalid(uint256 length, uint256 maximum);
    /// @notice Thrown when the output payload is too long.
    error OutputSizeInvalid(uint256 length, uint256 maximum);
    /// @notice Thrown when the fee does not fit 80 bits.
    error FeeTooHigh(uint256 feeWei);
    /// @notice Thrown when a request is not in the status that the call expects; also when it never existed.
    error StatusUnexpected(RequestId requestId, Status actual, Status expected);
    /// @notice Thrown when a result is proposed after the deadline.
    error DeadlinePassed(RequestId requestId, uint256 deadline);
    /// @notice Thrown when a request is expired before its deadline.
    error DeadlineNotPassed(RequestId requestId, uint256 deadline);
    /// @notice Thrown when a result is finalized inside its challenge window.
    error WindowOpen(RequestId requestId, uint256 closesAt);
    /// @notice Thrown when a result is challenged after its window.
    error WindowClosed(RequestId requestId, uint256 closedAt);
    /// @notice Thrown when somebody else than the named operator answers.
    error OperatorNotNamed(RequestId requestId, address operator, address named);
    /// @notice Thrown when an operator answers a request from which a conviction has barred it.
    error OperatorBarredFromRequest(RequestId requestId, address operator);
    /// @notice Thrown when the model has not been registered.
    error ModelNotRegistered(ModelId modelId);
    /// @notice Thrown when a `Bounded` model's result has no trace root.
    error TraceRootMissing(RequestId requestId);
    /// @notice Thrown when the answer is not the one that was proposed.
    error ResultMismatch(RequestId requestId, ResultId resultId, bytes20 proposedTag);
    /// @notice Thrown when too little gas is left to give the callback what was asked for.
    error GasTooLowForCallback(uint256 available, uint256 required);
    /// @notice Thrown when there is no failed callback to retry.
    error CallbackNotPending(RequestId requestId);
    /// @notice Thrown when a retried callback fails again; nothing has changed.
    error CallbackStillFailing(RequestId requestId);
    /// @notice Thrown when a batch's lists differ in length.
    error BatchLengthMismatch();
    /// @notice Thrown when there is nothing to withdraw.
    error CreditMissing(address account);
    /// @notice Thrown when ether cannot be delivered to an account.
    error PaymentFailed(address account, uint256 amountWei);

    /// @notice Emitted when an inference is requested.
    /// @param requestId Id of the request.
    /// @param modelId The model.
    /// @param operator The named operator; zero = any with an offer.
    /// @param request The whole preimage.
    /// @param input Payload of the input tensors, or a zero byte followed by the URI of that payload.
    event InferenceRequested(
        RequestId indexed requestId, ModelId indexed modelId, address indexed operator, Request request, bytes input
    );
    /// @notice Emitted when a signed result is proposed.
    /// @param requestId Id of the request.
    /// @param operator Who swears to it.
    /// @param resultId EIP-712 digest of the result.
    /// @param round Number of refuted results before this one.
    /// @param traceRoot Commitment of the run's trace.
    /// @param output Payload of the output tensors.
    /// @param signature The operator's signature over `resultId`.
    event ResultProposed(
        RequestId indexed requestId,
        address indexed operator,
        ResultId resultId,
        uint8 round,
        bytes32 traceRoot,
        bytes output,
        bytes signature
    );
    /// @notice Emitted when a result becomes final and its operator is paid.
    /// @param requestId Id of the request.
    /// @param operator Who was paid.
    /// @param resultId The final result.
    event ResultFinalized(RequestId indexed requestId, address indexed operator, ResultId resultId);
    /// @notice Emitted when a proposed result is challenged.
    /// @param requestId Id of the request.
    /// @param resultId The result.
    event ResultDisputed(RequestId indexed requestId, ResultId resultId);
    /// @notice Emitted when a challenged result stands: nobody proved a fault in time. It can be finalized.
    /// @param requestId Id of the request.
    /// @param resultId The result.
    event ResultUpheld(RequestId indexed requestId, ResultId resultId);
    /// @notice Emitted when a proposed result is refuted.
    /// @param requestId Id of the request.
    /// @param operator Whose result.
    /// @param resultId The refuted result.
    /// @param reopened True: others may answer until `deadline`. False: the fee has been refunded.
    /// @param deadline The effective deadline now.
    event ResultRefuted(
        RequestId indexed requestId, address indexed operator, ResultId resultId, bool reopened, uint256 deadline
    );
    /// @notice Emitted when an operator without a proposal is barred from a request.
    /// @param requestId Id of the request.
    /// @param operator Who was convicted.
    /// @param refunded Whether it was the only one that could have answered, so that the fee has been refunded.
    event OperatorBarred(RequestId indexed requestId, address indexed operator, bool refunded);
    /// @notice Emitted when the named operator's signed failure ends a request.
    /// @param requestId Id of the request.
    /// @param operator Who signed it.
    /// @param code Why.
    event RequestFailed(RequestId indexed requestId, address indexed operator, FailureCode code);
    /// @notice Emitted when an operator reports why it does not answer an open request; the request stays open.
    /// @param requestId Id of the request.
    /// @param operator Who signed it.
    /// @param code Why.
    event FailureReported(RequestId indexed requestId, address indexed operator, FailureCode code);
    /// @notice Emitted when a request expires and is refunded.
    /// @param requestId Id of the request.
    event RequestExpired(RequestId indexed requestId);
    /// @notice Emitted when a consumer's callback fails; anyone may retry it.
    /// @param requestId Id of the request.
    /// @param kind Which callback.
    event CallbackFailed(RequestId indexed requestId, CallbackKind kind);
    /// @notice Emitted when a failed callback succeeds on a retry.
    /// @param requestId Id of the request.
    /// @param kind Which callback.
    event CallbackRetried(RequestId indexed requestId, CallbackKind kind);
    /// @notice Emitted when a credit is paid out.
    /// @param account Whose credit.
    /// @param amountWei How much.
    event CreditWithdrawn(address indexed account, uint256 amountWei);

    /// @notice Requests an inference; the ether sent is the fee.
    /// @dev Warning: neither the model nor the operator's offer is checked here; a request that nobody serves expires.
    /// @param params What is asked for, and on which terms.
    /// @param input Payload whose root is `params.inputRoot`, or a zero byte followed by the URI of that payload.
    /// @return requestId Id of the request.
    function request(RequestParams calldata params, bytes calldata input) external payable returns (RequestId requestId);

    /// @notice Proposes an operator's signed result and locks its bond. Anyone may relay.
    /// @param request The request's preimage.
    /// @param answer Operator, trace root and output.
    /// @param signature Signature of one of the operator's signers over the result that these determine.
    /// @return resultId EIP-712 digest of the result.
    function propose(Request calldata request, Answer calldata answer, bytes calldata signature)
        external
        returns (ResultId resultId);

    /// @notice Proposes several results; skips those whose request is no longer waiting.
    /// @param requests The requests' preimages.
    /// @param answers One for each.
    /// @param signatures One for each.
    /// @return proposed How many were not skipped.
    function proposeMany(Request[] calldata requests, Answer[] calldata answers, bytes[] calldata signatures)
        external
        returns (uint256 proposed);

    /// @notice Ends a request with the named operator's signed failure and refunds it; from any other operator it is
    /// only reported.
    /// @param request The request's preimage.
    /// @param operator Who fails.
    /// @param code Why.
    /// @param signature Signature of one of the operator's signers over the `Failure`.
    function fail(Request calldata request, address operator, FailureCode code, bytes calldata signature) external;

    /// @notice Makes a result final after its window: pays the operator, frees its bond, calls the consumer.
    /// @param request The request's preimage.
    /// @param answer The answer as proposed.
    function finalize(Request calldata request, Answer calldata answer) external;

    /// @notice Finalizes several results; skips those that are not due.
    /// @param requests The requests' preimages.
    /// @param answers One for each.
    /// @return finalized How many were not skipped.
    function finalizeMany(Request[] calldata requests, Answer[] calldata answers) external returns (uint256 finalized);

    /// @notice Ends a request that nobody answered in time and refunds it. Anyone may.
    /// @param request The request's preimage.
    function expire(Request calldata request) external;

    /// @notice Repeats the current failed callback with at least the gas that was asked for, and all that the caller
    /// sends. Anyone may.
    /// @param request The request's preimage.
    /// @param answer The current answer; ignored for failure and refutation notices.
    function retryCallback(Request calldata request, Answer calldata answer) external;

    /// @notice Pays the caller its credit.
    function withdraw() external;

    /// @notice Pays an account its credit; for contracts that cannot ask for it.
    /// @param account Whose credit; it receives the ether.
    function withdrawFor(address payable account) external;

    /// @notice Puts a proposed result under challenge: it cannot be finalized until it is upheld. Only for the dispute
    /// game.
    /// @param request The request's preimage.
    /// @param operator Who swore to it.
    /// @param outputRoot Root of its output.
    /// @param traceRoot Root of its trace; zero if it has none.
    /// @return resultId EIP-712 digest of the result.
    /// @return closesAt Last second of the challenge window.
    function dispute(Request calldata request, address operator, bytes32 outputRoot, bytes32 traceRoot)
        external
        returns (ResultId resultId, uint256 closesAt);

    /// @notice Ends a challenge in the result's favour. Only for the dispute game.
    /// @param request The request's preimage.
    /// @param resultId The result.
    function uphold(Request calldata request, ResultId resultId) external;

    /// @notice Refutes a proposed or disputed result. Only for the dispute game.
    /// @param request The request's preimage.
    /// @param operator Whose result.
    /// @param resultId The result.
    /// @return refuted Whether this result was proposed; if not, nothing has changed.
    function refute(Request calldata request, address operator, ResultId resultId) external returns (bool refuted);

    /// @notice Bars a convicted operator from a request; refunds it when nobody else could answer. Only for the
    /// dispute game.
    /// @param request The request's preimage.
    /// @param operator Who was convicted.
    /// @return newlyBarred False when it was barred before; nothing has changed then.
    function bar(Request calldata request, address operator) external returns (bool newlyBarred);

    /// @notice Pays an operator's earnings out of the collected fees. Only for the operator registry.
    /// @param to Who receives them.
    /// @param amountWei How much.
    function payEarnings(address payable to, uint256 amountWei) external;

    /// @notice Where a request stands.
    /// @param requestId Id of the request.
    function stateOf(RequestId requestId) external view returns (RequestState memory);

    /// @notice Whether a conviction has barred an operator from a request.
    /// @param requestId Id of the request.
    /// @param operator The operator.
    function isBarred(RequestId requestId, address operator) external view returns (bool);

    /// @notice Refunds that an account can withdraw.
    /// @param account Whose credit.
    function creditOf(address account) external view returns (uint256);

    /// @notice The id that a request has.
    /// @param request The request's preimage.
    function requestIdOf(Request calldata request) external view returns (RequestId);

    /// @notice The result that an answer to a request states.
    /// @param request The request's preimage.
    /// @param answer The answer.
    function resultOf(Request calldata request, Answer calldata answer) external view returns (Result memory);

    /// @notice The bond locked behind a result for this value at risk.
    /// @param valueAtRiskWei What a consumer stands to lose.
    function bondFor(uint256 valueAtRiskWei) external view returns (uint256);

    /// @notice EIP-712 digest of a result.
    /// @param result The result.
    function digestOf(Result calldata result) external view returns (ResultId);

    /// @notice EIP-712 digest of a failure.
    /// @param failure The failure.
    function failureDigestOf(Failure calldata failure) external view returns (bytes32);
}
