from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from solidity import ROOT
from sworn import abi, errors
from sworn.cli.exit_codes import TABLE, ExitCode, exit_code_for
from sworn.testing.demo_stage import StoryBroken


def _subclasses(parent: type[errors.SwornError]) -> Iterator[type[errors.SwornError]]:
    yield parent
    for child in parent.__subclasses__():
        yield from _subclasses(child)


EVERY_ERROR = sorted(
    {kind for kind in _subclasses(errors.SwornError) if kind.__module__ == errors.__name__},
    key=lambda kind: kind.__name__,
)


@pytest.mark.parametrize("kind", EVERY_ERROR, ids=lambda kind: kind.__name__)
def test_exit_codes_for_every_error_class_are_not_success(kind: type[errors.SwornError]) -> None:
    """Whatever sworn raises ends the command with a code that says failure."""
    code, _ = exit_code_for(kind("why"))
    assert code not in (ExitCode.OK, ExitCode.USAGE, ExitCode.INTERRUPTED)


def test_exit_codes_table_rows_are_all_reachable() -> None:
    """No row stands behind one that covers it already."""
    hidden = [
        kind.__name__
        for index, (kind, _, _) in enumerate(TABLE)
        if any(issubclass(kind, earlier) for earlier, _, _ in TABLE[:index])
    ]
    assert not hidden


def test_exit_codes_of_the_enum_are_all_used() -> None:
    """Every code that the help names can happen."""
    used = {code for _, code, _ in TABLE} | {ExitCode.OK, ExitCode.USAGE, ExitCode.INTERRUPTED}
    assert used == set(ExitCode)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ConfigurationError("x"), ExitCode.CONFIGURATION),
        (errors.DeploymentUnknown("x"), ExitCode.CONFIGURATION),
        (errors.ShapeMismatch("x"), ExitCode.CONFIGURATION),
        (errors.TransientChainError("x"), ExitCode.CHAIN),
        (errors.FundsTooLow("x"), ExitCode.CHAIN),
        (errors.ContractRevert("x"), ExitCode.REFUSED),
        (abi.reverts()["WindowOpen"]("x"), ExitCode.REFUSED),
        (errors.TransactionReverted("x"), ExitCode.REFUSED),
        (errors.RequestTimeout("x"), ExitCode.NOT_YET),
        (errors.RequestExpired("x"), ExitCode.NO_RESULT),
        (errors.QuoteError("x"), ExitCode.NO_RESULT),
        (errors.ModelMalformed("x"), ExitCode.MODEL),
        (errors.RunTimedOut("x"), ExitCode.MODEL),
        (errors.SignerError("x"), ExitCode.KEY),
        (errors.SignerUnavailable("x"), ExitCode.CHAIN),
        (StoryBroken("x"), ExitCode.FAILED),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value.name,
)
def test_exit_codes_by_error_say_what_to_do_next(error: errors.SwornError, code: ExitCode) -> None:
    """Errors that call for different actions have different codes."""
    assert exit_code_for(error)[0] is code


def test_exit_codes_that_end_a_service_for_good_are_of_errors_that_stay() -> None:
    """A signer that comes up after the node must be waited for: a unit that is not started again misses deadlines."""
    for unit in (ROOT / "scripts" / "node").glob("*.service"):
        found = re.search(r"^RestartPreventExitStatus=(.+)$", unit.read_text(encoding="utf-8"), re.MULTILINE)
        assert found is not None, unit.name
        for_good = {ExitCode(int(code)) for code in found[1].split()}
        passing = {errors.SignerUnavailable, errors.TransientChainError, errors.StoreUnavailable, errors.FundsTooLow}
        assert not for_good & {exit_code_for(kind("x"))[0] for kind in passing}, unit.name
