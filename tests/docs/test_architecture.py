"""docs/architecture.md against the source: the layers, the stages, and the map of files."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from wavlm.pipeline.artifacts import KINDS

ROOT = Path(__file__).parents[2]
TEXT = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- files: written by `make docs` -->", "<!-- end of files -->"
# Packages of the library as the data passes through them. A package that is not listed comes at the end.
ORDER = (
    *("specs", "corpus", "shards", "features", "labels", "mixing", "loader", "nn"),
    *("train", "evaluation", "export", "pipeline", "execution", "storage"),
)


def file_map() -> str:
    """One line per file: its path and the first line of its docstring; a blank line between packages."""
    blocks = groupby(list_files(), key=lambda path: path.parts[:-1][: 2 if path.parts[0] == "wavlm" else 1])
    lines = ["\n".join(f"{path!s:<37} {first_line(path)}" for path in block) for _, block in blocks]
    return "\n".join(["```", "\n\n".join(lines), "```"])


def list_files() -> list[Path]:
    """Python files of the product below the root, except empty ones, in the order of the map."""
    found = [path for top in ("wavlm", "tasks", "flows") for path in (ROOT / top).rglob("*.py")]
    return sorted((path.relative_to(ROOT) for path in found if path.read_text().strip()), key=_place)


def _place(path: Path) -> tuple[int, int, tuple[str, ...]]:
    top = ("wavlm", "tasks", "flows").index(path.parts[0])
    if top > 0 or len(path.parts) == 2:
        return top, -1, path.parts
    package = path.parts[1]
    return top, ORDER.index(package) if package in ORDER else len(ORDER), path.parts


def first_line(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse((ROOT / path).read_text()))
    return docstring.splitlines()[0] if docstring else ""


def rewrite(text: str) -> str:
    """The text of docs/architecture.md with its map brought up to date."""
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{file_map()}\n{END}{after}"


def rows_of(section: str) -> Iterator[list[str]]:
    """The cells of the tables below a heading of docs/architecture.md, without the heads of the tables."""
    (text,) = re.findall(
        rf"^## \d+\. {re.escape(section)}\n(.*?)(?=^## |\Z)", TEXT.read_text(), re.MULTILINE | re.DOTALL
    )
    for line in text.splitlines():
        if line.startswith("|") and not line.startswith(("|---", "| kind", "| row")):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def test_every_file_says_what_it_is_for() -> None:
    silent = [path for path in list_files() if not first_line(path)]
    assert not silent


def test_the_map_lists_every_file_with_its_first_line() -> None:
    assert TEXT.read_text() == rewrite(TEXT.read_text()), "run `make docs`"


def test_the_table_of_layers_is_the_contract_that_is_checked() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = [contract["layers"] for contract in contracts if contract.get("containers") == ["wavlm"]]
    described = [set(re.findall(r"`(\w+)`", cells[1])) for cells in rows_of("Layers")]
    assert described == [set(layer.split(" | ")) for layer in layers]


def test_the_table_of_stages_has_the_kinds_in_their_order() -> None:
    assert [cells[0] for cells in rows_of("Stages, in the order of the data")] == [f"`{kind}`" for kind in KINDS]


if __name__ == "__main__":
    TEXT.write_text(rewrite(TEXT.read_text()))
