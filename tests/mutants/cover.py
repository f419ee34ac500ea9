"""The tests that run a line: found once with `coverage`, then looked up for each mutant.

A file of tests is traced again when it has changed. When a file of the project has changed since, its line numbers mean
nothing: then all tests that run any line of it are taken.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from itertools import groupby, takewhile
from pathlib import Path

# Folders of tests, without those of documents, of the fuzz and of tools.
PARTS = tuple(f"tests/{name}" for name in (
    "engine", "data_specs", "train", "nn", "loader", "mixing", "labels", "pipeline", "features", "evaluation", "specs",
    "storage", "tasks", "flows", "shards", "export", "execution", "corpus", "field",
))  # fmt: skip

MODULE = re.compile(r"(tests|wavlm|tasks|flows)(\.[a-z_0-9]+)+")
UNKNOWN_SECONDS = 3.0  # what a test is taken to cost that was not traced
SETTINGS = """\
[run]
parallel = true
sigterm = true
concurrency = multiprocessing,thread
patch = _exit
context = ${{MUTANTS_CONTEXT-}}
data_file = {work}/lines/part
include = {tree}/wavlm/*, {tree}/tasks/*, {tree}/flows/*
"""


@dataclass(frozen=True)
class Cover:
    """Which tests run which lines, and what each test costs. Tests that failed without a mutant are in none."""

    tests_by_line: dict[str, dict[int, set[str]]]
    seconds: dict[str, float]

    def tests(self, path: str, lines: tuple[int, int]) -> set[str]:
        """The tests that run one of the lines, and those of which only the file is known (line 0).

        If there are none, those that run any line of the file; if nothing does, those of the mirror folder.
        """
        found = self.tests_by_line.get(path, {})
        here = {test for line, tests in found.items() if not line or lines[0] <= line <= lines[1] for test in tests}
        whole = {test for tests in found.values() for test in tests}
        return here or whole or {test for test in self.seconds if test.startswith(f"{mirror_of(path)}/")}


def mirror_of(path: str) -> str:
    """The folder of tests for a file: `wavlm/nn/head.py` has tests/nn, `tasks/registry/gate.py` tests/tasks."""
    parts = path.split("/")
    return f"tests/{parts[1] if parts[0] == 'wavlm' else parts[0]}"


def order(tests: Iterable[str], cover: Cover, path: str) -> list[str]:
    """The file named after the module first, then those near it, then by cost; in a file cheap tests first."""
    files: dict[str, list[str]] = {}
    for test in sorted(tests, key=lambda name: (cover.seconds[name], name)):
        files.setdefault(test.split("::")[0], []).append(test)
    cost = {name: sum(cover.seconds[test] for test in found) for name, found in files.items()}
    ordered = sorted(files, key=lambda name: (_distance(name, path), cost[name]))
    return [test for name in ordered for test in files[name]]


def _distance(test_file: str, path: str) -> int:
    """Folders between a file of tests and where a module is tested: `wavlm/nn/head.py` in `tests/nn/test_head.py`."""
    folder, _, name = path.removeprefix("wavlm/").rpartition("/")
    wanted, found = ("tests", *folder.split("/"), f"test_{name}"), test_file.split("/")
    shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(wanted, found, strict=False)))
    return max(len(wanted), len(found)) - shared


def trace(tree: Path, work: Path) -> None:
    """Run with `coverage` the files of tests that are not traced yet, or have changed since, a folder at a time."""
    known = _read(work / "traced.json")
    if not known:
        (work / "sources.json").write_text(json.dumps(_digests(tree, ("wavlm", "tasks", "flows"))))
    digests = {name: digest for name, digest in _digests(tree, PARTS).items() if Path(name).name.startswith("test_")}
    stale = sorted(name for name, digest in digests.items() if known.get(name) != digest)
    for _, names in groupby(stale, key=lambda name: name.split("/")[1]):
        files = list(names)
        _trace_files(tree, work, files)
        known |= {name: digests[name] for name in files}
        (work / "traced.json").write_text(json.dumps(known))


def _trace_files(tree: Path, work: Path, files: list[str]) -> None:
    for folder in (work / "lines", work / "tests"):
        folder.mkdir(parents=True, exist_ok=True)
    (work / "settings").write_text(SETTINGS.format(work=work, tree=tree))
    import coverage

    # In the tree, because tests start processes with nothing else on their path.
    place = str(Path(coverage.__file__).parents[1])
    start = f"import sys\nsys.path.append({place!r})\nimport coverage\ncoverage.process_startup()\n"
    (tree / "sitecustomize.py").write_text(start)
    environment = {
        **os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1", "COVERAGE_PROCESS_START": str(work / "settings"),
        "MUTANTS_CONTEXT": "", "MUTANTS_TESTS": str(work / "tests" / f"{time.time_ns()}.json"),
    }  # fmt: skip
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.mutants.trace", "-m", "not full and not network"]
    subprocess.run([*command, *files], cwd=tree, env=environment, check=False)


def _digests(tree: Path, folders: Iterable[str]) -> dict[str, str]:
    files = (path for folder in folders for path in sorted((tree / folder).rglob("*.py")))
    return {path.relative_to(tree).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _read(path: Path) -> dict:
    return json.loads(path.read_text()) if path.exists() else {}


def read(work: Path, tree: Path) -> Cover:
    """The cover that `trace` left in `work`, without tests that are gone or that fail on the unchanged tree."""
    tests: dict[str, dict] = {}
    for part in sorted((work / "tests").iterdir()):
        tests |= json.loads(part.read_text())
    there = collect(tree)
    whole = {name: one for name, one in tests.items() if not one["failed"] and name in there}
    users: dict[str, set[str]] = {}
    for name, one in whole.items():
        for context in (name, *one["fixtures"]):
            users.setdefault(context, set()).add(name)
    found = _lines(work, users)
    digests, traced = _digests(tree, ("wavlm", "tasks", "flows")), _read(work / "sources.json")
    changed = {path for path, digest in digests.items() if digest != traced.get(path)}
    for path in changed & found.keys():
        found[path] = {0: set().union(*found[path].values())}
    seconds = {name: one["seconds"] for name, one in whole.items()}
    for name in there - tests.keys():  # not traced: known by what its file imports
        seconds[name] = UNKNOWN_SECONDS
        for path in _imports(tree, name.split("::")[0]):
            found.setdefault(path, {}).setdefault(0, set()).add(name)
    return Cover(found, seconds)


@cache
def _imports(tree: Path, test_file: str) -> frozenset[str]:
    """The files of the project that a file of tests imports, also by way of other files of tests."""
    names: set[str] = set()
    for node in ast.walk(ast.parse((tree / test_file).read_bytes())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and MODULE.fullmatch(node.value):
            names.add(node.value)  # what a process of its own runs
    paths = {f"{name.replace('.', '/')}{end}" for name in names for end in (".py", "/__init__.py")}
    there = {path for path in paths if (tree / path).is_file() and path != test_file}
    helpers = {path for path in there if path.startswith("tests/")}
    return frozenset(there - helpers).union(*(_imports(tree, path) for path in helpers))


def _lines(work: Path, users: dict[str, set[str]]) -> dict[str, dict[int, set[str]]]:
    """The tests of each line of each file."""
    from coverage import CoverageData, CoverageException  # only this tool needs them

    found: dict[str, dict[int, set[str]]] = {}
    for part in sorted((work / "lines").glob("part.*")):
        data = CoverageData(str(part))
        try:
            data.read()
        except CoverageException:
            continue  # of a process that was killed while it wrote
        for file in data.measured_files():
            lines = found.setdefault(file.rpartition("/tree/")[2], {})
            for line, contexts in data.contexts_by_lineno(file).items():
                here = {test for context in contexts for test in users.get(context, ())}
                if here:
                    lines.setdefault(line, set()).update(here)
    return found


def collect(tree: Path) -> set[str]:
    """The names of all tests that there are."""
    command = [sys.executable, "-m", "pytest", "-q", "--collect-only", "-m", "not full and not network", *PARTS]
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
    return {line for line in done.stdout.splitlines() if "::" in line}
