"""What the command's exit status says, and which error leads to which: one table."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from sworn import errors


class ExitCode(IntEnum):
    """Exit status of `sworn`."""

    #: Done.
    OK = 0
    #: Something failed for which there is no other code; `doctor` found a failure; `verify` found no answer that holds;
    #: `demo`'s story did not hold.
    FAILED = 1
    #: The command line is wrong.
    USAGE = 2
    #: A setting, an argument's value or an input is wrong: change it.
    CONFIGURATION = 3
    #: The chain or a remote signer cannot be reached, or a transaction was refused: the same command may succeed later.
    CHAIN = 4
    #: A contract refused: the same command will be refused again.
    REFUSED = 5
    #: Not yet: the request has not reached the awaited state in the given time.
    NOT_YET = 6
    #: The model, its artifact or its run.
    MODEL = 7
    #: The request ended without a result: expired, failed or refuted; or nobody serves it on these terms.
    NO_RESULT = 8
    #: A key, a keystore or a password: trying again does not help.
    KEY = 9
    #: Interrupted from the keyboard.
    INTERRUPTED = 130


#: The first class that fits counts, so subclasses come before their parents. The text says what to do, where the error
#: itself cannot know.
TABLE: Final[tuple[tuple[type[errors.SwornError], ExitCode, str], ...]] = (
    (errors.DeploymentUnknown, ExitCode.CONFIGURATION, "Name a deployment file with --deployment."),
    (errors.ConfigurationError, ExitCode.CONFIGURATION, ""),
    (errors.CodecError, ExitCode.CONFIGURATION, ""),
    (errors.InputRejected, ExitCode.CONFIGURATION, ""),
    (errors.ModelError, ExitCode.MODEL, ""),
    (errors.ArtifactError, ExitCode.MODEL, ""),
    (errors.EngineError, ExitCode.MODEL, ""),
    (errors.ContractRevert, ExitCode.REFUSED, ""),
    (errors.TransactionReverted, ExitCode.REFUSED, ""),
    (errors.ChainIdMismatch, ExitCode.CONFIGURATION, "Check --rpc and --deployment."),
    (errors.FundsTooLow, ExitCode.CHAIN, "Add funds to the sending account."),
    (errors.TransientChainError, ExitCode.CHAIN, "Check that the node at --rpc runs and is in reach, then try again."),
    (errors.ChainError, ExitCode.CHAIN, ""),
    (errors.SignerUnavailable, ExitCode.CHAIN, "Check the remote signer and the way to it, then try again."),
    (errors.SignerError, ExitCode.KEY, ""),
    (errors.RequestUnknown, ExitCode.CONFIGURATION, "Check the request id, --rpc and --deployment."),
    (errors.RequestTimeout, ExitCode.NOT_YET, "`sworn status` says why."),
    (errors.RequestError, ExitCode.NO_RESULT, "`sworn withdraw` pays the refund out."),
    (errors.QuoteError, ExitCode.NO_RESULT, ""),
    (errors.StoreError, ExitCode.FAILED, ""),
    (errors.SwornError, ExitCode.FAILED, ""),
)


def exit_code_for(error: errors.SwornError) -> tuple[ExitCode, str]:
    """Exit status for an error, and what to do about it (may be empty)."""
    return next((code, hint) for kind, code, hint in TABLE if isinstance(error, kind))
