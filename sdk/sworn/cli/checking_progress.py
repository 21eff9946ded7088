"""Progress of checking commands: a bar where stderr is a terminal, nothing elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from sworn.cli.output import Output

if TYPE_CHECKING:
    from sworn.verification import CompiledModel
    from sworn.verification.subject import Executor, OnValue, StepExecutor

#: Takes what is done and what there is to do.
Advance = Callable[[int, int], None]


@contextmanager
def bar(output: Output, text: str) -> Iterator[Advance]:
    """A bar that what it yields moves along."""
    if not output.progress.is_terminal:
        yield lambda _done, _total: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=32), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=output.progress, transient=True) as progress:
        task = progress.add_task(text, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def watched(compiled: CompiledModel, advance: Advance) -> CompiledModel:
    """The same model; whenever it runs or checks, it tells how many of its tensors are done."""
    total, inputs = compiled.subject.value_count, len(compiled.program.inputs)
    runner = _WatchedRunner(compiled.executor, lambda value: advance(value + 1, total))
    checker = _WatchedChecker(compiled.checker, lambda step: advance(inputs + step + 1, total))
    return replace(compiled, executor=runner, checker=checker)


class _WatchedRunner:
    """An `Executor` that tells which value is there."""

    def __init__(self, executor: Executor, advance: Callable[[int], None]) -> None:
        self._executor, self._advance = executor, advance

    def run(
        self,
        inputs: Sequence[NDArray[Any]],
        *,
        keep: bool | Collection[int] = False,
        include_virtual: bool = False,
        on_value: OnValue | None = None,
    ) -> dict[int, NDArray[Any]]:
        """As the executor does."""

        def tell(number: int, array: NDArray[Any]) -> None:
            self._advance(number)
            if on_value is not None:
                on_value(number, array)

        return self._executor.run(inputs, keep=keep, include_virtual=include_virtual, on_value=tell)


class _WatchedChecker:
    """A `StepExecutor` that tells which step it has looked at."""

    def __init__(self, checker: StepExecutor, advance: Callable[[int], None]) -> None:
        self._checker, self._advance = checker, advance

    def run(
        self,
        inputs: Sequence[NDArray[Any]],
        *,
        keep: bool | Collection[int] = False,
        include_virtual: bool = False,
        on_value: OnValue | None = None,
    ) -> dict[int, NDArray[Any]]:
        """As the checker does."""
        return self._checker.run(inputs, keep=keep, include_virtual=include_virtual, on_value=on_value)

    def run_step(self, number: int, operands: Mapping[int, NDArray[Any]]) -> NDArray[Any]:
        """As the checker does."""
        found = self._checker.run_step(number, operands)
        self._advance(number)
        return found
