from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import MappingProxyType

import sworn
from sworn import errors

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "sdk" / "sworn"
LIBRARY = sorted(PACKAGE.rglob("*.py"))
SCRIPTS = sorted((ROOT / "scripts").glob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
PUBLIC_API = ROOT / "tests" / "snapshots" / "public_api.json"

MAX_LINES = MappingProxyType({"sdk": 400, "scripts": 400, "tests": 500})
MAX_BODY_LINES = 40

#: A file or ``file::function`` that may be longer, with the reason.
LONGER = MappingProxyType[str, str]({})

#: Lower rows never import higher ones; "" is the package itself, where objects are put together.
ROWS = MappingProxyType(
    {
        "types": 0,
        "masking": 0,
        "pools": 0,
        "errors": 0,
        "codec": 1,
        "abi": 1,
        "model": 2,
        "engine": 2,
        "referee": 2,
        "chain": 2,
        "storage": 2,
        "verification": 3,
        "dispute": 4,
        "client": 5,
        "watcher": 5,
        "web": 6,
        "cli": 7,
        "testing": 7,
        "": 8,
    }
)

#: Importer and imported on one row, with the reason. Everything else on a row meets through Protocols.
SIBLINGS = MappingProxyType(
    {
        ("errors", "types"): "errors carry ids",
        ("engine", "model"): "an engine checks inputs against the model's schema",
        ("engine", "referee"): "elements that a fast path cannot decide are decided by the referee's functions",
        ("referee", "model"): "a referee judges the steps of a program",
        ("cli", "testing"): "`sworn demo` runs the local chain",
        ("cli", ""): "`sworn model compile` puts a model together as `sworn.compile_model` does",
        ("testing", ""): "the demo runs an answer again as anyone would, with `sworn.compile_model`",
    }
)

#: Third-party packages that only some of ours may import.
VENDORS = MappingProxyType(
    {
        "alembic": {"watcher"},
        "boto3": {"chain"},
        "cryptography": {"chain"},
        "eth": {"testing", "chain"},
        "eth_tester": {"testing", "chain"},
        "fsspec": {"storage"},
        "onnx": {"model"},
        "onnxruntime": {"engine"},
        "prometheus_client": {"web"},
        "pytest": {"testing"},
        "ray": {"engine"},
        "rich": {"cli"},
        "skl2onnx": set(),
        "sklearn": set(),
        "sqlalchemy": {"watcher"},
        "starlette": {"web"},
        "typer": {"cli"},
        "uvicorn": {"web"},
        "web3": {"chain"},
        "websockets": {"chain"},
    }
)

#: Where every exception may be caught, with the reason.
CATCH_ALL = MappingProxyType(
    {
        "sdk/sworn/engine/ray_workforce.py": "Ray reports a node that does not start by a bare Exception",
        "sdk/sworn/watcher/containment.py": "one bad job, claim or dispute must not stop the others",
    }
)

#: Dataclasses that change after they are made, with the reason.
MUTABLE = MappingProxyType(
    {
        "sdk/sworn/chain/follower.py::LogFollower": "it moves along the chain",
        "sdk/sworn/testing/gateway.py::MemoryGateway": "a chain that grows",
    }
)

#: `test`, and a word or more each for subject, condition and outcome.
MIN_NAME_WORDS = 4

#: Words that say nothing about what a module holds.
VAGUE_NAMES = frozenset({"base", "common", "helpers", "misc", "shared", "util", "utils"})


def relative(path: Path) -> str:
    """A path from the repository root, with forward slashes."""
    return path.relative_to(ROOT).as_posix()


@cache
def parse(path: Path) -> ast.Module:
    """The syntax tree of a Python file."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def unit(path: Path) -> str:
    """The module or package under `sworn` that a file belongs to; "" for `sworn/__init__.py`."""
    first = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return "" if first.startswith("__") or first == "connect" else first


def imported(path: Path) -> Iterator[str]:
    """Dotted names of everything that a file imports, in functions and under TYPE_CHECKING too."""
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_units(path: Path) -> set[str]:
    """The units of `sworn` that a file imports."""
    names = {name.split(".")[1] if "." in name else "" for name in imported(path) if name.split(".")[0] == "sworn"}
    return {name if name in ROWS else "" for name in names}


def functions(path: Path) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Every function of a file with its key in `LONGER`."""
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{relative(path)}::{node.name}", node


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function's body without its docstring."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_imports_between_rows_point_downwards() -> None:
    """A module imports only lower rows, its own package, and the siblings that have a reason."""
    wrong = [
        f"{relative(path)} imports {target or 'sworn'}"
        for path in LIBRARY
        for target in own_units(path)
        if target != (own := unit(path)) and ROWS[target] >= ROWS[own] and (own, target) not in SIBLINGS
    ]
    assert not wrong


def test_imports_of_implementations_happen_only_where_objects_are_put_together() -> None:
    """Client and watcher know engines, chains and stores by Protocol, never by the vendor that implements them."""
    vendor = re.compile(r"\.(web3|onnx|eth_tester|http)_\w+|\.(Web3|Onnx|EthTester|Http)[A-Z]\w*$")
    wrong = [
        f"{relative(path)} imports {name}"
        for path in LIBRARY
        if unit(path) in {"client", "watcher"}
        for name in imported(path)
        if name.startswith("sworn.") and vendor.search(name)
    ]
    assert not wrong


def test_imports_of_vendors_stay_in_their_package() -> None:
    """A third-party package that is fenced in is imported only behind its fence."""
    wrong = [
        f"{relative(path)} imports {name}"
        for path in LIBRARY
        for name in imported(path)
        if unit(path) not in VENDORS.get(name.split(".")[0], {unit(path)})
    ]
    assert not wrong


def test_modules_under_sworn_have_a_row() -> None:
    """Nothing lives outside the rows, and every row's unit exists or is still to come."""
    assert {unit(path) for path in LIBRARY} <= ROWS.keys()


def test_modules_by_name_are_nouns() -> None:
    """No module is called by a word that fits anything."""
    wrong = [relative(path) for path in [*LIBRARY, *SCRIPTS, *TESTS] if path.stem.lower() in VAGUE_NAMES]
    assert not wrong


def test_files_by_length_stay_within_limits() -> None:
    """A file that grows past its limit is split, or listed with a reason; one that shrinks again is taken off."""
    over = {
        relative(path)
        for path in [*LIBRARY, *SCRIPTS, *TESTS]
        if len(path.read_text(encoding="utf-8").splitlines()) > MAX_LINES[relative(path).split("/")[0]]
    }
    assert over == {key for key in LONGER if "::" not in key}


def test_functions_by_length_stay_within_limits() -> None:
    """A function that grows past its limit is split, or listed with a reason; one that shrinks again is taken off."""
    over = {
        key
        for path in [*LIBRARY, *SCRIPTS, *TESTS]
        for key, function in functions(path)
        if body_lines(function) > MAX_BODY_LINES
    }
    assert over == {key for key in LONGER if "::" in key}


def test_exceptions_to_rules_name_something_and_have_reasons() -> None:
    """A listed exception names what exists, and says why."""
    classes = {f"{relative(p)}::{n.name}" for p in LIBRARY for n in ast.walk(parse(p)) if isinstance(n, ast.ClassDef)}
    assert MUTABLE.keys() <= classes
    assert CATCH_ALL.keys() <= {relative(path) for path in LIBRARY}
    reasons = [*LONGER.values(), *MUTABLE.values(), *CATCH_ALL.values(), *SIBLINGS.values()]
    assert all(len(reason.split()) > 2 for reason in reasons)


def test_sources_in_every_language_hold_no_reminders() -> None:
    """What is unfinished is not in the code."""
    reminder = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")
    files = [*LIBRARY, *SCRIPTS, *TESTS, *ROOT.glob("contracts/**/*.sol"), *ROOT.glob("tests/**/*.sol")]
    assert not [relative(path) for path in files if reminder.search(path.read_text(encoding="utf-8"))]


def test_handlers_of_every_exception_exist_only_in_the_service_loop() -> None:
    """Code that catches everything hides what it did not expect; only the watcher's loop may, to keep running."""
    wrong = [
        f"{relative(path)}:{node.lineno}"
        for path in LIBRARY
        for node in ast.walk(parse(path))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or ast.unparse(node.type) in {"Exception", "BaseException"})
        and relative(path) not in CATCH_ALL
    ]
    assert not wrong


def test_modules_of_the_library_keep_no_mutable_state() -> None:
    """Module level holds constants: no `global`, no lower-case list, dict or set."""
    globals_ = [f"{relative(p)}:{n.lineno}" for p in LIBRARY for n in ast.walk(parse(p)) if isinstance(n, ast.Global)]
    variables = [
        f"{relative(path)}:{node.lineno}"
        for path in LIBRARY
        for node in parse(path).body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        and isinstance(node.value, ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp)
        and not re.match(r"(_?[A-Z][A-Z0-9_]*|__all__)\b", ast.unparse(node))
    ]
    assert not globals_ + variables


def test_dataclasses_of_the_library_are_frozen_slotted_and_keyword_only() -> None:
    """Records do not change, hold nothing undeclared, and are made by naming their fields."""
    wrong = [
        f"{relative(path)}::{node.name}"
        for path in LIBRARY
        for node in ast.walk(parse(path))
        if isinstance(node, ast.ClassDef)
        for decorator in node.decorator_list
        if ast.unparse(decorator).startswith("dataclass")
        for word in ("frozen=True", "slots=True", "kw_only=True")
        if word not in ast.unparse(decorator)
        and not (word == "frozen=True" and f"{relative(path)}::{node.name}" in MUTABLE)
    ]
    assert not wrong


def test_tests_by_form_say_what_they_show() -> None:
    """A test is named subject, condition, outcome, and has a docstring of its own."""
    wrong = [
        key
        for path in TESTS
        for key, function in functions(path)
        if function.name.startswith("test_")
        and (len(function.name.split("_")) < MIN_NAME_WORDS or not (ast.get_docstring(function) or "").strip())
    ]
    assert not wrong


def test_public_names_of_sworn_match_the_snapshot() -> None:
    """What `import sworn` offers changes only on purpose: edit the snapshot in the same change."""
    pinned = json.loads(PUBLIC_API.read_text(encoding="utf-8"))
    assert sorted(sworn.__all__) == pinned
    assert all(hasattr(sworn, name) for name in pinned)


def test_exception_tree_in_the_docstring_matches_the_classes() -> None:
    """The drawing in `sworn.errors` names every class under its real parent."""
    lines = re.findall(r"^    ([│├└─ ]*)(\w+)", errors.__doc__ or "", flags=re.MULTILINE)
    stack: dict[int, str] = {}
    drawn: dict[str, str] = {}
    for branch, name in lines:
        depth = len(branch) // 4
        stack[depth] = name
        if depth:
            drawn[name] = stack[depth - 1]
    classes = {n: c for n, c in vars(errors).items() if isinstance(c, type) and issubclass(c, errors.SwornError)}
    assert drawn == {name: cls.__bases__[0].__name__ for name, cls in classes.items() if name != "SwornError"}


def test_layout_document_lists_every_module_and_contract() -> None:
    """`docs/layout.md` is the map: whatever lies at the top of a folder is on it."""
    text = (ROOT / "docs" / "layout.md").read_text(encoding="utf-8")
    modules = {path.name + ("/" if path.is_dir() else "") for path in PACKAGE.iterdir() if unit_is_listed(path)}
    contracts = {path.name + ("/" if path.is_dir() else "") for path in (ROOT / "contracts").iterdir()}
    assert not [name for name in sorted(modules | contracts) if f"`{name}" not in text]


def unit_is_listed(path: Path) -> bool:
    """Whether an entry of the package is a module or a package of ours."""
    return path.suffix == ".py" or any(path.glob("*.py")) if not path.name.startswith("_") else False
