#!/usr/bin/env python3
"""Writes docs/operators.md: what the onnx package's own tests of every operator give; ``--check`` only compares."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import onnx
from onnx import defs

import generated_pages

sys.path.insert(0, str(generated_pages.ROOT))

from tests.support.conformance import Case, Outcome, cases, outcome

from sworn.model.compiler.registry import LOWERINGS

SCRIPT, PAGE = "scripts/generate_support.py", "docs/operators.md"

#: Another release of onnx has other tests: its page says nothing about this one.
BASIS = re.compile(r"of onnx [\w.]+")

#: Operators whose lowering only says what to do instead.
ADVICE = frozenset({("ai.onnx.ml", "ZipMap")})

#: What refusals say, and the kind under which they are counted. Tests name their tensors as they like, so that only
#: the text tells which refusals are of one kind; it decides nothing but how this page is arranged.
KINDS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(?:in|out)put '[^']*' has element type (\w+), which is not supported"), "{0}"),
    (re.compile(r"(?:in|out)put '[^']*' is (float64), which is not supported.*"), "{0}"),
    (re.compile(r"Cast \w+: (float64) is not supported.*"), "{0}"),
    (re.compile(r"input '[^']*' has shape \([\d, ]*\): it has no elements"), "a tensor without elements"),
    (re.compile(r"\w+: a tensor without elements, of shape \([\d, ]*\)"), "a tensor without elements"),
    (re.compile(r"input '[^']*' is not a tensor but (\w+).*"), "an input that is not a tensor but {0}"),
    (
        re.compile(r"the model's output reads '[^']*', an output that is not supported"),
        "an output that is not supported",
    ),
)
#: Of these kinds is an element type.
TYPES = re.compile(r"(bfloat|float|int|uint|string|complex)[\w]*")

INTRODUCTION = """# Operators

Written by `scripts/generate_support.py`; do not edit. What an operator becomes is in [lowering.md](lowering.md).

The onnx package tests its operators one by one: a node, its inputs and what must come out. This page says what those
tests, of onnx {onnx}, give in the profiles `exact` and `bounded`. Both compile a model to the same program.

- **exact**: tests passed. The program gives the expected values, to the test's tolerance or 1e-4, whichever is wider,
  and the referee, in integers alone, has the same bits in up to 16 elements of every step.
- **bounded**: tests passed. The run gives the expected values, and the referee admits up to 16 elements of every step.
- **by kernels**: those of them of which onnxruntime's kernels compute a part; of the others the exact executor computes
  all.
- **refused**: the compiler raises `ModelUnsupported` for the reason given, or the test is of NaN, which no input may
  hold. Nothing ends in any other way.
- Inputs that models keep constant (axes, shapes, pads, ratios, …) are constant here too, and shapes are fixed.
- **versions** are operator sets in which an operator changed, as far as it is lowered; those in bold are tested here.
- An operator of which nothing passes is lowered all the same: onnx tests it only with types or forms that are refused.
- An operator or a version that is not on this page is refused.

In the profile `signed` nothing is lowered: onnxruntime runs the file.

{tests:,} tests: {passed:,} passed, {refused:,} refused. {operators} operators are lowered, in {versions} versions;
{untested} of them have no such test.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tests:
    """What the tests of one operator gave."""

    versions: frozenset[int]
    passed: int
    #: Of those passed, computed in part by onnxruntime in profile bounded.
    in_kernels: int
    #: Refusals by kind.
    refused: Counter[str]


def page() -> str:
    """The page's text. Raises `AssertionError` where a test neither passes nor is refused."""
    lowered: dict[tuple[str, str], list[int]] = {}
    for domain, operator, version in sorted(LOWERINGS):
        if (domain, operator) not in ADVICE:
            lowered.setdefault((domain, operator), []).append(version)
    tested = outcomes(cases())
    untested = sorted(lowered.keys() - tested.keys())
    passed = sum(tests.passed for tests in tested.values())
    refused = sum(tests.refused.total() for tests in tested.values())
    parts = [
        INTRODUCTION.format(
            onnx=onnx.__version__,
            tests=passed + refused,
            passed=passed,
            refused=refused,
            operators=len(lowered),
            versions=sum(map(len, lowered.values())),
            untested=len(untested),
        )
    ]
    for domain in sorted({domain for domain, _ in tested}):
        rows = [row(key[1], lowered[key], tested[key]) for key in sorted(tested) if key[0] == domain]
        parts += [
            f"## {domain or 'ai.onnx'}\n",
            generated_pages.table(
                ["operator", "versions", "exact:", "bounded:", "by kernels:", "refused:", "why"], rows
            ),
        ]
    parts += [
        "## Lowered, without a test in onnx\n\nThe tests of this repository compare these with onnxruntime.\n",
        without_tests(untested, lowered),
    ]
    return "\n".join(parts)


def outcomes(given: Iterable[Case]) -> Mapping[tuple[str, str], Tests]:
    """By domain and operator, what its tests gave."""
    found: dict[tuple[str, str], list[tuple[int, Outcome]]] = {}
    for case in given:
        domain, version = place(case)
        found.setdefault((domain, case.operator), []).append((version, outcome(case)))
    return {
        key: Tests(
            versions=frozenset(version for version, _ in results),
            passed=sum(each.refusal is None for _, each in results),
            in_kernels=sum(each.in_kernels for _, each in results),
            refused=Counter(kind(each.refusal) for _, each in results if each.refusal is not None),
        )
        for key, results in found.items()
    }


def place(case: Case) -> tuple[str, int]:
    """Domain and version of the operator that a test is of."""
    model = onnx.ModelProto.FromString(case.model)
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    domain = model.graph.node[0].domain
    return domain, int(defs.get_schema(case.operator, opsets[domain], domain).since_version)


def kind(reason: str) -> str:
    """A refusal without the names that only its test knows."""
    for pattern, form in KINDS:
        if found := pattern.fullmatch(reason):
            return form.format(*found.groups())
    # Refusals by an operator start with its name and the node's.
    return re.sub(r"^\w+ \w+: ", "", reason)


def row(operator: str, versions: Sequence[int], tests: Tests) -> list[str]:
    """A line of the table."""
    marked = ", ".join(f"**{version}**" if version in tests.versions else str(version) for version in versions)
    counts = (tests.passed, tests.passed, tests.in_kernels, tests.refused.total())
    return [f"`{operator}`", marked, *map(str, counts), reasons(tests.refused)]


def reasons(refused: Counter[str]) -> str:
    """Reasons with their counts, the most frequent first, element types together."""
    types = {name: count for name, count in refused.items() if TYPES.fullmatch(name)}
    merged = Counter({name: count for name, count in refused.items() if name not in types})
    if types:
        merged[f"element type {', '.join(sorted(types, key=natural))}"] = sum(types.values())
    ordered = sorted(merged.items(), key=lambda item: (-item[1], item[0]))
    return "<br>".join(f"{count} × {name}" for name, count in ordered)


def natural(name: str) -> list[tuple[int, str]]:
    """Sorts digits by what they count: int2, int16."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]


def without_tests(untested: Sequence[tuple[str, str]], lowered: Mapping[tuple[str, str], Sequence[int]]) -> str:
    """The table of operators that onnx does not test."""
    rows = [
        [f"`{operator}`", domain or "ai.onnx", ", ".join(map(str, lowered[domain, operator]))]
        for domain, operator in untested
    ]
    return generated_pages.table(["operator", "domain", "versions"], rows)


def main() -> int:
    """Writes or compares the page; the exit status."""
    return generated_pages.run(SCRIPT, page=PAGE, description=__doc__ or "", text_of=page, basis=BASIS)


if __name__ == "__main__":
    sys.exit(main())
