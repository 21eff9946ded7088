"""How far an adversary could push the outputs of one run without leaving the bounds of profile ``bounded``.

In that profile an element may lie anywhere in an interval, so a dishonest operator can push every element of every
step the way that serves it best. `measure` does the same: projected gradient ascent over the places of all elements in
their intervals. Each of its runs is admissible by construction, and the best are audited besides, in models of very
many terms by samples, so that what they reach is a fact. Estimates say from the other side how far any run could get:
every element pushed as far as its bound and its rounding allow, times how much the output depends on it, summed. They
are of first order, and do not count what happens behind a choice that turns over: `Slack.choices` lists where that is
possible.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sworn.codec.tensors import decode_tensors, encode_tensors
from sworn.errors import ConfigurationError, EngineError, RunNotFinite
from sworn.types import DType, Profile, Tensors
from sworn.verification.compiled import CompiledModel
from sworn.verification.slack_checks import RunChecks
from sworn.verification.slack_motions import Moves
from sworn.verification.slack_runs import AdmissibleRuns, Places

Array = NDArray[Any]
#: Called with what is done and what there is to do, in steps of about equal length.
Progress = Callable[[int, int], None]

#: Ascents start once from the exact run and this often from random places.
RESTARTS: Final = 2
#: Steps of one ascent.
STEPS: Final = 4
#: Elements of an output that are looked at, the greatest first.
EXAMINED: Final = 16
#: How far a place moves in a step: the interval reaches from −1 to 1.
_STRIDE: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MarginSlack:
    """What the lead of the greatest element of a row over its most endangered rival is worth."""

    #: Flat indices in the output.
    top: int
    rival: int
    #: How far the one is ahead of the other in the exact run.
    margin: float
    #: By how much an admissible, checked run narrowed it.
    reached: float
    #: The least margin that no run can close, to first order: the largest estimate over all rivals looked at.
    safe: float

    @property
    def is_safe(self) -> bool:
        """Whether no admissible run has another greatest element, to first order."""
        return self.margin > self.safe or self.safe == 0

    @property
    def is_lost(self) -> bool:
        """Whether an admissible run with another greatest element, the first of equal ones, was found."""
        return self.reached > self.margin or (self.reached == self.margin > 0 and self.rival < self.top)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputSlack:
    """How far one float output can be pushed; differences are absolute, in the output's unit."""

    name: str
    #: Elements in all, and those looked at: the greatest in magnitude.
    elements: int
    examined: int
    #: Flat index of the element that can be pushed farthest, to first order.
    index: int
    #: The largest change of that element, either way, in an admissible, checked run.
    reached: float
    #: The most that any admissible run changes an element looked at, to first order; infinite where slopes are.
    estimate: float
    #: The greatest magnitude in the exact run, 1 where all is zero: what `relative` refers to.
    scale: float
    #: Of the row with the smallest lead, along the last axis of more than one element; None where there is none.
    margin: MarginSlack | None

    @property
    def relative(self) -> float:
        """`reached` as a part of `scale`."""
        return self.reached / self.scale

    @property
    def relative_estimate(self) -> float:
        """`estimate` as a part of `scale`."""
        return self.estimate / self.scale


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A step that compares, ranks or picks by values that can move: some of its elements may turn over."""

    step: int
    name: str
    elements: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Slack:
    """How far the outputs of one run can be pushed within the bounds."""

    #: Float outputs; integers, such as labels, follow them or stand under `choices`.
    outputs: tuple[OutputSlack, ...]
    choices: tuple[Choice, ...]
    #: Elements that have an interval rather than one value.
    free_elements: int
    #: Runs that were made, and those of them that were checked: the best of each search.
    runs: int
    checked: int
    #: Whether every element of those was audited, or a sample of them, where a model is too large.
    is_audited: bool


def measure(
    compiled: CompiledModel,
    inputs: Tensors,
    *,
    steps: int = STEPS,
    restarts: int = RESTARTS,
    examined: int = EXAMINED,
    seed: int = 0,
    progress: Progress | None = None,
) -> Slack:
    """How far the float outputs for these inputs can be pushed; the same figures every time for the same seed.

    ``steps`` gradient steps from the exact run and from ``restarts`` random ones are taken for each output, towards the
    element that can move farthest, either way, and towards the rival that can come nearest to the greatest element.
    ``examined`` bounds the elements of an output that are looked at. Takes as long as some hundred runs in profile
    ``exact``, and about ten times the memory of a trace.

    Raises `ConfigurationError` for a model in another profile, `ShapeMismatch` and `ValueNotFinite` for inputs that do
    not fit, and `EngineError` where the model gives these inputs no answer, or a check fails.
    """
    if compiled.model.profile is not Profile.BOUNDED:
        raise ConfigurationError("only profile bounded has slack: in the others an element has one value, or none")
    if steps < 1 or restarts < 0 or examined < 1:
        raise ConfigurationError("slack needs at least one step and one element, and no negative number of restarts")
    return _Search(
        compiled, inputs, steps=steps, restarts=restarts, examined=examined, seed=seed, progress=progress
    ).run()


class _Search:
    """One measurement."""

    def __init__(
        self,
        compiled: CompiledModel,
        inputs: Tensors,
        *,
        steps: int,
        restarts: int,
        examined: int,
        seed: int,
        progress: Progress | None,
    ) -> None:
        self._compiled, self._program = compiled, compiled.program
        self._steps, self._restarts, self._examined = steps, restarts, examined
        self._random = np.random.default_rng(seed)
        self._runs = AdmissibleRuns(compiled.program, compiled.weights, compiled.checker)
        specs = compiled.schema.inputs
        canonical = decode_tensors(encode_tensors(inputs, specs), specs)
        self._inputs = [canonical[spec.name] for spec in specs]
        self._made = self._done = 0
        self._checks = RunChecks(compiled, np.random.default_rng(seed))
        self._progress = progress
        self._exact = self._run({})
        for position in self._floats():
            if not np.isfinite(self._exact[self._program.outputs[position].value]).all():
                raise RunNotFinite(f"output {compiled.schema.outputs[position].name!r} is infinite")
        self._moves = Moves(self._program, self._exact, compiled.weights)
        self._total = sum(self._effort(position) for position in self._floats())

    def run(self) -> Slack:
        """The figures of every float output."""
        outputs = tuple(self._output(position) for position in self._floats())
        names = self._compiled.step_names
        turned = self._moves.motions.turned
        return Slack(
            outputs=outputs,
            choices=tuple(Choice(step=k, name=names[k], elements=count) for k, count in sorted(turned.items())),
            free_elements=sum(self._program.steps[number].output.elements for number in self._runs.free),
            runs=self._made,
            checked=self._checks.runs,
            is_audited=self._checks.is_whole,
        )

    def _floats(self) -> list[int]:
        outputs = enumerate(self._program.outputs)
        return [k for k, output in outputs if self._program.value(output.value).dtype is DType.FLOAT32]

    def _effort(self, position: int) -> int:
        """How often progress is told about while an output is looked at."""
        port = self._program.outputs[position]
        elements, rivals = self._program.value(port.value).elements, _width(port.shape) - 1
        ascents = (1 + self._restarts) * self._steps * (3 if rivals else 2)
        return min(elements, self._examined) + min(rivals, self._examined) + ascents

    def _output(self, position: int) -> OutputSlack:
        port = self._program.outputs[position]
        exact = self._exact[port.value].astype(np.float64)
        order = np.argsort(-np.abs(exact), kind="stable")[: self._examined].tolist()
        estimates = [self._estimate(port.value, {index: 1.0}) for index in order]
        best = int(np.argmax(estimates))
        reached = max(abs(self._ascend(port.value, {order[best]: sign})) for sign in (1.0, -1.0))
        return OutputSlack(
            name=self._compiled.schema.outputs[position].name,
            elements=exact.size,
            examined=len(order),
            index=order[best],
            reached=reached,
            estimate=estimates[best],
            scale=float(np.max(np.abs(exact))) or 1.0,
            margin=self._margin(port.value, exact, _width(port.shape)),
        )

    def _margin(self, value: int, exact: Array, width: int) -> MarginSlack | None:
        if width < 2:
            return None
        rows = exact.reshape(-1, width)
        order = np.argsort(-rows, axis=1, kind="stable")
        leads = np.take_along_axis(rows, order[:, :1], 1) - np.take_along_axis(rows, order[:, 1:2], 1)
        row = int(np.argmin(leads))
        top, *rivals = (int(index) + row * width for index in order[row, : self._examined + 1])
        safe = {rival: self._estimate(value, {rival: 1.0, top: -1.0}) for rival in rivals}
        rival = min(rivals, key=lambda index: exact[top] - exact[index] - safe[index])
        return MarginSlack(
            top=top,
            rival=rival,
            margin=float(exact[top] - exact[rival]),
            reached=self._ascend(value, {rival: 1.0, top: -1.0}),
            safe=max(safe.values()),
        )

    def _estimate(self, value: int, aim: dict[int, float]) -> float:
        self._advance()
        return self._moves.estimate(self._moves.gradient({value: self._seed(value, aim)}))

    def _ascend(self, value: int, aim: dict[int, float]) -> float:
        """The most by which Σ aim·output could be raised, in a checked run."""
        seed = self._seed(value, aim)
        start, best, found = float(seed @ self._exact[value]), 0.0, None
        for places in self._starts():
            values, moves = (self._exact, self._moves) if not places else self._tried(places)
            for _ in range(self._steps):
                self._advance()
                if values is None or moves is None:
                    break
                gradient = moves.gradient({value: seed}, across_jumps=True)
                places = self._stepped(places, gradient)
                values, moves = self._tried(places)
                if values is not None and float(seed @ values[value]) - start > best:
                    best, found = float(seed @ values[value]) - start, values
        if found is not None:
            self._checks.check(found)
        return best

    def _starts(self) -> Iterator[Places]:
        yield {}
        for _ in range(self._restarts):
            steps = ((number, self._program.steps[number].output.elements) for number in self._runs.free)
            yield {number: self._random.uniform(-1.0, 1.0, elements) for number, elements in steps}

    def _stepped(self, places: Places, gradient: dict[int, Array]) -> Places:
        moved: dict[int, Array] = {}
        for number in self._runs.free:
            still = np.zeros(self._program.steps[number].output.elements)
            push = np.sign(gradient.get(number, still))
            moved[number] = np.clip(places.get(number, still) + _STRIDE * push, -1.0, 1.0)
        return moved

    def _tried(self, places: Places) -> tuple[list[Array] | None, Moves | None]:
        """A run and its slopes; nothing where it ends without an answer, which is no way to push an output."""
        try:
            values = self._run(places)
        except EngineError:
            return None, None
        return values, Moves(self._program, values, self._compiled.weights, self._moves.motions)

    def _run(self, places: Places) -> list[Array]:
        self._made += 1
        return self._runs.run(self._inputs, places)

    def _seed(self, value: int, aim: dict[int, float]) -> Array:
        seed = np.zeros(self._program.value(value).elements)
        for index, weight in aim.items():
            seed[index] = weight
        return seed

    def _advance(self) -> None:
        self._done += 1
        if self._progress is not None:
            self._progress(min(self._done, self._total), self._total)


def _width(shape: Sequence[int]) -> int:
    """Elements along the last axis that has more than one."""
    return next((size for size in reversed(shape) if size > 1), 1)
