"""docs/errors.md: all error codes, from wavlm/errors/codes.py and from the places where they are raised.

python -m tests.docs.errors     writes it again; `make docs` calls it
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "errors.md"
CODES = ROOT / "wavlm" / "errors" / "codes.py"
PACKAGES = ("wavlm", "tasks", "flows")
HEAD = """\
# Errors

Every refusal has one form: `CODE: what happened; where; what to do`. The command line ends with an exit code, and
prints no stack trace. A message about a single recording, whose reason stands in `rejects.parquet`, ends no stage by
itself.

`make docs` writes this page from `wavlm/errors/codes.py`.

| exit code | of |
|---|---|
| 0 | done |
| 1 | a bug: please report it with its stack trace |
| 2 | a wrong recipe, spec or option |
| 65 | bad data |
| 69 | a server or program that is missing |
| 71 | a process of the work that was killed, or no memory, processes or open files left |
| 73 | a disk or folder that cannot be written |
| 75 | stopped on request; the same command continues |
| 77 | locked by another process, or no permission |

| code | exit code | meaning | what to do |
|---|---|---|---|
"""


class Meaning(NamedTuple):
    """The documentation of a code."""

    meaning: str
    advice: str


class Kind(NamedTuple):
    """A class of errors: its exit code, and the code and the end of the message that its constructor gives."""

    exit_code: int | None
    code: str | None
    added: str


class Raise(NamedTuple):
    """A place where an error is made. `code` and `text` are None if they are not written out there."""

    where: str
    kind: Kind
    code: str | None
    text: str | None


def meanings() -> dict[str, Meaning]:
    """Code -> documentation, from the docstrings."""
    (enum,) = (node for node in ast.parse(CODES.read_text()).body if isinstance(node, ast.ClassDef))
    found = {}
    for name, text in zip(enum.body[1::2], enum.body[2::2], strict=True):
        assert isinstance(name, ast.Assign)
        assert isinstance(text, ast.Expr)
        meaning, _, advice = str(ast.literal_eval(text.value)).partition(" Do: ")
        found[str(ast.literal_eval(name.value))] = Meaning(" ".join(meaning.split()), " ".join(advice.split()))
    return found


def trees() -> dict[Path, ast.Module]:
    """The syntax of every source file but the one that defines the codes."""
    paths = (path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py")))
    return {path: ast.parse(path.read_text()) for path in paths if path != CODES}


def kinds(sources: dict[Path, ast.Module]) -> dict[str, Kind]:
    """Name -> class of errors, for CodedError and all that is derived from it."""
    classes = [node for tree in sources.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    found = {"CodedError": Kind(1, None, "")}
    numbers = _exit_codes(sources[ROOT / "wavlm" / "errors" / "__init__.py"])
    while new := [item for item in classes if item.name not in found and _base(item) in found]:
        for item in new:
            found[item.name] = _kind(item, found[_base(item)], numbers)
    return found


def raises(sources: dict[Path, ast.Module]) -> Iterator[Raise]:
    """Every call of a class of errors."""
    known = kinds(sources)
    for path, tree in sources.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in known:
                kind = known[node.func.id]
                if len(node.args) < (1 if kind.code else 2):
                    continue  # made of other errors
                code, text = (kind.code, node.args[0]) if kind.code else (_text(node.args[0]), node.args[1])
                where = f"{path.relative_to(ROOT)}:{node.lineno}"
                yield Raise(where, kind, code, None if (words := _text(text)) is None else words + kind.added)


def members(sources: dict[Path, ast.Module]) -> Iterator[str]:
    """The values of the enums of codes about recordings."""
    for tree in sources.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and _base(node) == "StrEnum" and node.name in {"Reason", "NoteCode"}:
                assigned = (item for item in node.body if isinstance(item, ast.Assign))
                yield from (str(ast.literal_eval(item.value)) for item in assigned)


def uses(sources: dict[Path, ast.Module]) -> set[str]:
    """Everything that may be a code: text constants, and members of enums."""
    nodes = [node for tree in sources.values() for node in ast.walk(tree)]
    constants = {str(node.value) for node in nodes if isinstance(node, ast.Constant)}
    return constants | {node.attr for node in nodes if isinstance(node, ast.Attribute)}


def page() -> str:
    """The text of docs/errors.md."""
    exits: dict[str, set[int]] = {}
    for item in raises(trees()):
        if item.code and item.kind.exit_code is not None:
            exits.setdefault(item.code, set()).add(item.kind.exit_code)
    rows = [
        f"| `{code}` | {', '.join(map(str, sorted(exits.get(code, ())))) or '65'} | {text.meaning} | {text.advice} |"
        for code, text in sorted(meanings().items())
    ]
    return HEAD + "\n".join(rows) + "\n"


def _exit_codes(tree: ast.Module) -> dict[str, int]:
    """Name -> number of the constants EXIT_..."""
    assigned = (node for node in tree.body if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant))
    return {ast.unparse(node.targets[0]): int(str(ast.literal_eval(node.value))) for node in assigned}


def _base(item: ast.ClassDef) -> str:
    return ast.unparse(item.bases[0]) if item.bases else ""


def _kind(item: ast.ClassDef, base: Kind, numbers: dict[str, int]) -> Kind:
    kind = base
    for node in ast.walk(item):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "exit_code":
            kind = kind._replace(exit_code=numbers[ast.unparse(node.value)])
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "super().__init__":
            code = _text(node.args[0])
            written = [part for part in ast.walk(node.args[1]) if isinstance(part, ast.JoinedStr)]
            added = "".join(_text(part) or "" for part in written[0].values[1:]) if code and written else ""
            kind = kind._replace(code=code, added=added)
    return kind


def _text(node: ast.expr) -> str | None:
    """A text as it is written, with its fields in braces; a member of an enum is its name."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.Attribute) and ast.unparse(node.value) in {"Code", "Reason"}:
        return node.attr
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) or "" for part in node.values)
    return f"{{{ast.unparse(node.value)}}}" if isinstance(node, ast.FormattedValue) else None


if __name__ == "__main__":
    PAGE.write_text(page())
    sys.exit(0)
