"""Behind ``scripts/analyse``: slither's findings against their answers, and the symbolic proofs.

Both tools read what forge compiles, in a project of their own under ``.cache``, with the pinned compiler and settings.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from solidity import EVM_VERSION, OPTIMIZER_RUNS, ROOT, find_compiler

PROJECTS = ROOT / ".cache" / "analysis"
#: Not on PATH: a solc that lies beside it asks the network which one it is.
SLITHER = PROJECTS / "slither-analyzer" / "bin" / "slither"
TRIAGE = ROOT / "scripts" / "slither_triage.json"
HARNESSES = "tests/contracts/symbolic"
LEMMAS = ROOT / HARNESSES / "shares.smt2"

#: Detectors whose rules are not ours, with the reason; the house's own are in tests/test_contract_rules.py.
EXCLUDED: Mapping[str, str] = {
    "naming-convention": "immutables are written like constants, as Solidity's style guide allows since 0.8.x",
    "too-many-digits": "masks and constants of the arithmetic are as long as they are",
    "solc-version": "the compiler is pinned by build_abi.py",
    "pragma": "vendorable files state a range, the others the pinned compiler",
}

#: Every proof with what halmos needs for it: how often a loop may turn, and seconds for one question to the solver.
PROOFS: Mapping[str, tuple[str, ...]] = {
    "GameMoves": ("--solver-timeout-assertion", "3600s"),
    "FloatRounding": ("--loop", "300", "--solver-timeout-assertion", "3600s"),
    "TreeSoundness": ("--loop", "40", "--solver-timeout-assertion", "3600s"),
}

#: What slither says of a function that it could not read; counts as a finding of a detector of this name.
UNREAD = "not-analysed"
_UNREAD = re.compile(r"Impossible to generate IR for ([\w.]+)")
_PLACE = re.compile(r" \([^()]*\.sol#[-,\d]+\)")
_PROJECT = """[profile.default]
src = "{source}"
test = "{source}"
out = "out"
libs = ["node_modules"]
solc = "{compiler}"
evm_version = "{evm}"
via_ir = true
optimizer = true
optimizer_runs = {runs}
bytecode_hash = "none"
ast = true
build_info = true
offline = true
allow_paths = ["{root}"]
remappings = ["@openzeppelin/=node_modules/@openzeppelin/"]
[lint]
lint_on_build = false
"""


class AnalysisFailed(Exception):
    """A tool could not run, or what it found is not answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Why the findings of one detector are none."""

    detector: str
    answer: str
    #: What was found, in slither's words without places; as often as it was found.
    findings: tuple[str, ...]


def read_triage() -> tuple[Answer, ...]:
    """The answered findings."""
    entries = json.loads(TRIAGE.read_text(encoding="utf-8")) if TRIAGE.is_file() else []
    return tuple(Answer(**{**entry, "findings": tuple(entry["findings"])}) for entry in entries)


def write_triage(answers: Iterable[Answer]) -> None:
    """Writes the answered findings."""
    entries = [
        {"answer": each.answer, "detector": each.detector, "findings": sorted(each.findings)}
        for each in sorted(answers, key=lambda each: each.detector)
    ]
    TRIAGE.write_text(json.dumps(entries, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def key_of(finding: Mapping[str, Any]) -> str:
    """One finding without the lines where it stands, so that it stays the same when code around it moves."""
    description: str = _PLACE.sub("", finding["description"])
    return " ".join(description.split("\n")[0].split())


def found(results: Iterable[Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
    """What slither found, by detector."""
    by_detector: dict[str, list[str]] = {}
    for finding in results:
        by_detector.setdefault(finding["check"], []).append(key_of(finding))
    return {detector: tuple(sorted(keys)) for detector, keys in sorted(by_detector.items())}


def complaints(findings: Mapping[str, Sequence[str]], answers: Iterable[Answer]) -> list[str]:
    """One line for each finding without an answer, and for each answer to what is not found any more."""
    answered = {each.detector: each for each in answers}
    lines = []
    for detector in sorted(findings.keys() | answered.keys()):
        here = Counter(findings.get(detector, ()))
        known = Counter(answered[detector].findings if detector in answered else ())
        lines += [f"{detector}: new: {key}" for key in (here - known).elements()]
        lines += [f"{detector}: no longer found: {key}" for key in (known - here).elements()]
        if detector in answered and not answered[detector].answer.strip():
            lines.append(f"{detector}: has no answer")
    return lines


def make_project(name: str, source: str) -> Path:
    """A forge project over our sources, compiled; gives its folder. Raises `AnalysisFailed`."""
    folder = PROJECTS / f"project-{name}"
    folder.mkdir(parents=True, exist_ok=True)
    for link in ("contracts", "node_modules", "tests"):
        if not (folder / link).is_symlink():
            (folder / link).symlink_to(ROOT / link)
    text = _PROJECT.format(
        source=source, compiler=find_compiler(), evm=EVM_VERSION, runs=OPTIMIZER_RUNS, root=ROOT.as_posix()
    )
    (folder / "foundry.toml").write_text(text, encoding="utf-8")
    # halmos compiles by itself and would compile again what other options have made.
    built = run(["forge", "build", "--ast", "--extra-output", "storageLayout", "metadata"], folder)
    if built.returncode:
        raise AnalysisFailed(f"forge cannot compile {source}:\n{built.stdout}{built.stderr}")
    return folder


def run(command: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs a tool to its end. Raises `AnalysisFailed` when it is not there."""
    try:
        return subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise AnalysisFailed(f"{command[0]} is not there; start this with scripts/analyse") from error


def analyse(*, accept: bool) -> None:
    """Runs slither and compares. Raises `AnalysisFailed`."""
    folder = make_project("slither", "contracts")
    report = folder / "slither.json"
    report.unlink(missing_ok=True)
    options = ["--ignore-compile", "--filter-paths", "node_modules", "--exclude", ",".join(EXCLUDED)]
    done = run([str(SLITHER), ".", *options, "--json", str(report)], folder)
    content = json.loads(report.read_text(encoding="utf-8")) if report.is_file() else {}
    if not content.get("success"):
        raise AnalysisFailed(content.get("error") or done.stderr or "slither wrote no report")
    unread = {match.group(1) for match in _UNREAD.finditer(done.stdout + done.stderr)}
    notes = [{"check": UNREAD, "description": name} for name in sorted(unread)]
    findings = found([*content["results"].get("detectors", []), *notes])
    if accept:
        reasons = {each.detector: each.answer for each in read_triage()}
        write_triage(
            Answer(detector=detector, answer=reasons.get(detector, ""), findings=keys)
            for detector, keys in findings.items()
        )
    if lines := complaints(findings, read_triage()):
        raise AnalysisFailed("\n".join([*lines, f"{len(lines)} findings to answer in {TRIAGE.relative_to(ROOT)}"]))
    print(f"{sum(map(len, findings.values()))} findings of {len(findings)} detectors, all answered")


def prove(only: str) -> None:
    """Runs the lemmas and every symbolic proof whose name holds ``only``. Raises `AnalysisFailed`."""
    folder = make_project("symbolic", HARNESSES)
    failed = [] if _lemmas_hold(folder) else [LEMMAS.name]
    for contract, options in PROOFS.items():
        text = (ROOT / HARNESSES / f"{contract}.sol").read_text(encoding="utf-8")
        for check in re.findall(r"function (check_\w+)", text):
            if only in check and not _proves(folder, contract, check, options):
                failed.append(f"{contract}.{check}")
    if failed:
        raise AnalysisFailed(f"not proven: {', '.join(failed)}")


def _lemmas_hold(folder: Path) -> bool:
    done = run(["z3", "-T:60", str(LEMMAS)], folder)
    answers = done.stdout.split()
    print(f"{LEMMAS.name}: {' '.join(answers)}")
    return bool(answers) and set(answers) == {"unsat"}


def _proves(folder: Path, contract: str, check: str, options: Sequence[str]) -> bool:
    before, started = _child_seconds(), time.monotonic()
    names = ["--contract", contract, "--match-test", rf"^{check}\b"]
    done = run(["halmos", *names, *options, "--statistics", "--no-status"], folder)
    paths = re.findall(r"paths: (\d+)", done.stdout)
    proven = done.returncode == 0 and "[PASS]" in done.stdout
    spent = f"{_child_seconds() - before:.0f} s of CPU, {time.monotonic() - started:.0f} s"
    print(f"{contract}.{check}: {'proven' if proven else 'NOT PROVEN'}, {paths[0] if paths else 0} paths, {spent}")
    if not proven:
        print(done.stdout + done.stderr, file=sys.stderr)
    return proven


def _child_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    slither = commands.add_parser("slither", help="findings against their answers")
    slither.add_argument("--accept", action="store_true", help="write what is found; answers are written by hand")
    symbolic = commands.add_parser("symbolic", help="lemmas and proofs")
    symbolic.add_argument("only", nargs="?", default="", help="only checks whose name holds this")
    arguments = parser.parse_args()
    try:
        if arguments.command == "slither":
            analyse(accept=arguments.accept)
        else:
            prove(arguments.only)
    except AnalysisFailed as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
