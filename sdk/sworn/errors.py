"""The exception tree; catch by what you would do about it.

::

    SwornError
    ├── ConfigurationError            fix your settings or arguments
    │   └── DeploymentUnknown         name a deployment for this chain
    ├── CodecError (ValueError)       the bytes or arrays cannot be encoded or decoded
    │   ├── DTypeUnsupported          use one of the supported element types
    │   ├── ValueNotFinite            remove NaN and infinities
    │   ├── ShapeMismatch             give the shape that the schema states
    │   ├── PayloadMalformed          the bytes are not a canonical payload
    │   ├── SizeLimitExceeded         make it smaller
    │   ├── ProofMalformed            the bytes are not a fault proof
    │   └── DisclosureInvalid         what is shown of a trace does not lead to its root
    ├── ModelError                    the model file cannot be used
    │   ├── ModelMalformed            not a valid ONNX model
    │   ├── ModelUnsupported          valid, but outside what sworn runs
    │   │   └── ProfileUnavailable    valid, but it cannot have this profile: name another one
    │   └── ModelTooLarge             over the size limit
    ├── ArtifactError                 model bytes could not be had
    │   ├── ArtifactUnavailable       no mirror answered; try again or add one
    │   ├── ArtifactCorrupt           the bytes do not hash to what was asked for
    │   └── ArtifactTooLarge          over the size limit
    ├── EngineError                   the run failed
    │   ├── InputRejected             the inputs do not fit the model
    │   ├── RunTimedOut               over the time limit
    │   ├── RunOutOfMemory            over the memory limit
    │   ├── RunNotFinite              a value is NaN, or infinite where it must not be
    │   ├── EngineBusy                not now: too many runs of the model wait; ask again later
    │   ├── ModelUnavailable          the server that holds the model does not answer; try again
    │   └── RunFailed                 the runtime failed
    │       ├── WorkerCrashed         the process that ran the model died of it, more than once
    │       ├── DivisionByZero        an integer was divided by zero
    │       ├── CastOutOfRange        a float does not fit the integer type that it is cast to
    │       └── IndexOutOfRange       an index tensor points outside of its table
    ├── TraceError                    a trace cannot be kept or read
    │   ├── TraceCorrupt              the file is no trace, or damaged: make it again from the run's inputs
    │   └── TraceMissing              the trace behind a sworn result is gone: put the file back
    ├── ChainError                    the chain or the way to it
    │   ├── TransientChainError       try again
    │   │   ├── RateLimited           the node wants fewer requests; wait as long as it says
    │   │   ├── BlockUnavailable      the node does not have the block yet, or no more
    │   │   ├── EndpointsDisagree     two nodes contradict each other; nothing is done until they agree
    │   │   └── SenderBusy            as many transactions as allowed are under way; submit again later
    │   ├── LogRangeRefused           the node does not serve logs of so many blocks; ask for fewer
    │   ├── ChainIdMismatch           you are on another chain than you think
    │   ├── TransactionRejected       the node refused the transaction
    │   │   ├── NonceTooLow           another transaction took this nonce
    │   │   ├── TransactionKnown      it is in the pool already
    │   │   ├── TransactionUnderpriced  raise the fees
    │   │   ├── TransactionTooDear    its gas may cost more than allowed: send less at once, or allow more
    │   │   └── FundsTooLow           add funds to the sender
    │   ├── TransactionReverted       mined, but reverted
    │   └── ContractRevert            a contract refused; one subclass per custom error in abi/
    ├── SignerError                   key, keystore or password
    │   └── SignerUnavailable         the remote signer did not answer; try again
    ├── RequestError                  a request did not end with a result
    │   ├── RequestUnknown            no such request here
    │   ├── RequestTimeout            not yet; wait longer or ask for its status
    │   ├── RequestExpired            nobody answered; the fee is refunded
    │   ├── RequestFailed             the operator signed a failure; the fee is refunded
    │   └── RequestRefuted            the answer was proven false; the fee is refunded
    ├── ResultUndecided               only its operator's trace could tell whether it is false
    ├── QuoteError                    no operator serves this on these terms
    └── StoreError                    the watcher's database
        ├── DigestConflict            another result was sworn for this request: never sign a second one
        ├── LeadershipLost            another replica sends with this key now; send nothing more
        └── StoreUnavailable          the database did not answer, or not in time; try again
"""

from __future__ import annotations

from typing import Any, ClassVar


class SwornError(Exception):
    """Anything that sworn raises on purpose."""


class ConfigurationError(SwornError):
    """A setting or an argument is wrong."""


class DeploymentUnknown(ConfigurationError):
    """No deployment of the contracts is known for this chain."""


class CodecError(SwornError, ValueError):
    """Bytes or arrays cannot be encoded or decoded."""


class DTypeUnsupported(CodecError):
    """An element type has no canonical encoding."""


class ValueNotFinite(CodecError):
    """A float is NaN or infinite."""


class ShapeMismatch(CodecError):
    """Names, element types or shapes do not fit the schema."""


class PayloadMalformed(CodecError):
    """Bytes are not a canonical payload."""


class SizeLimitExceeded(CodecError):
    """A payload, a rank or a dimension is over its limit."""


class ProofMalformed(CodecError):
    """Bytes or fields are not a fault proof, or do not belong together."""


class DisclosureInvalid(CodecError):
    """What is shown of a trace is not what was demanded, or does not lead to the trace root."""


class ModelError(SwornError):
    """A model file cannot be used."""


class ModelMalformed(ModelError):
    """The bytes are not a valid ONNX model."""


class ModelUnsupported(ModelError):
    """The model is valid, but outside what sworn runs."""


class ProfileUnavailable(ModelUnsupported):
    """The model cannot have the profile that was asked for; another one may do."""


class ModelTooLarge(ModelError):
    """The model is over the size limit."""


class ArtifactError(SwornError):
    """Model bytes could not be had."""


class ArtifactUnavailable(ArtifactError):
    """No place that was tried has the bytes."""


class ArtifactCorrupt(ArtifactError):
    """The bytes do not hash to what was asked for."""


class ArtifactTooLarge(ArtifactError):
    """The bytes are over the size limit."""


class EngineError(SwornError):
    """A run failed."""


class InputRejected(EngineError):
    """The inputs do not fit the model."""


class RunTimedOut(EngineError):
    """A run broke its time limit."""


class RunOutOfMemory(EngineError):
    """A run broke its memory limit."""


class RunNotFinite(EngineError):
    """An output is NaN or infinite, or the run's arithmetic gave NaN or met an infinity that it excludes."""


class EngineBusy(EngineError):
    """As many runs of the model wait as may; it says nothing about the run, which has not begun."""


class ModelUnavailable(EngineError):
    """The server that holds a model gave no answer; it says nothing about the model or its inputs."""


class RunFailed(EngineError):
    """The runtime failed on a well-formed input."""


class WorkerCrashed(RunFailed):
    """The process that ran the model died of it, and so did the next one."""


class DivisionByZero(RunFailed):
    """An integer was divided by zero."""


class CastOutOfRange(RunFailed):
    """A float does not fit the integer type that it is cast to."""


class IndexOutOfRange(RunFailed):
    """An index tensor points outside of its table."""


class TraceError(SwornError):
    """A trace cannot be kept or read."""


class TraceCorrupt(TraceError):
    """The bytes are not a trace, or do not hash to its roots."""


class TraceMissing(TraceError):
    """The trace behind a sworn result is not where it was kept: the result could not be defended."""


class ChainError(SwornError):
    """The chain, or the way to it, failed."""


class TransientChainError(ChainError):
    """The node did not answer, or not usefully; the same call may succeed later."""


class RateLimited(TransientChainError):
    """The node wants fewer requests, and to be left alone for ``retry_after_s`` (None = it does not say how long)."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class BlockUnavailable(TransientChainError):
    """The node does not have a block: not yet, or no more."""


class EndpointsDisagree(TransientChainError):
    """Nodes contradict each other about the chain, and there is no telling which of them is right."""


class SenderBusy(TransientChainError):
    """As many transactions are under way as may be; nothing was signed, and nothing is wrong with the intent."""


class LogRangeRefused(ChainError):
    """The node does not serve the logs of so many blocks at once, or not that many logs."""


class ChainIdMismatch(ChainError):
    """The node serves another chain than the one expected."""


class TransactionRejected(ChainError):
    """The node refused a transaction."""


class NonceTooLow(TransactionRejected):
    """Another transaction has taken this nonce."""


class TransactionKnown(TransactionRejected):
    """The transaction is in the node's pool already."""


class TransactionUnderpriced(TransactionRejected):
    """The fees are too low to enter the pool or to replace a transaction."""


class TransactionTooDear(TransactionRejected):
    """At present prices the gas of the transaction may cost more than one transaction is allowed to."""


class FundsTooLow(TransactionRejected):
    """The sender cannot pay value and gas."""


class TransactionReverted(ChainError):
    """A transaction was mined and reverted."""


class ContractRevert(ChainError):
    """A contract refused a call. `sworn.abi` makes one subclass per custom error; arguments are attributes."""

    #: Name of the custom error; empty for a bare revert.
    name: ClassVar[str] = ""
    #: 4-byte selector of the custom error.
    selector: ClassVar[bytes] = b""

    def __init__(self, message: str, *, data: bytes = b"", arguments: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.data = data
        self.arguments = arguments or {}


class SignerError(SwornError):
    """A key, a keystore or a password is unusable, or a signer answered with something else than was asked for."""


class SignerUnavailable(SignerError):
    """A remote signer did not answer, or not usefully; nothing was signed that anybody could use."""


class RequestError(SwornError):
    """A request did not end with a result."""


class RequestUnknown(RequestError):
    """There is no such request in this deployment."""


class RequestTimeout(RequestError, TimeoutError):
    """The request has not reached the awaited state yet."""


class RequestExpired(RequestError):
    """Nobody answered in time; the fee can be withdrawn."""


class RequestFailed(RequestError):
    """The operator signed a failure; the fee can be withdrawn."""


class RequestRefuted(RequestError):
    """The answer was proven false; fee and compensation can be withdrawn."""


class ResultUndecided(SwornError):
    """Whether a result is false cannot be told until its operator's trace server shows all of its trace."""


class QuoteError(SwornError):
    """No operator serves this request on these terms."""


class StoreError(SwornError):
    """The watcher's database is unusable."""


class DigestConflict(StoreError):
    """Another result was journalled for the same request and operator; a second one must not be signed."""


class LeadershipLost(StoreError):
    """Another replica has taken over: what it may do, this one may not do any more."""


class StoreUnavailable(StoreError):
    """The database did not answer, or not in time. What was being stored may be there or not: read it again."""
