"""The README's map of the source is the source's own first lines."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- files: written by `make readme` -->", "<!-- end of files -->"


def file_map() -> str:
    """One line a file: its path and the first line of its docstring."""
    lines = []
    for package in ("flows", "tasks", "wavlm"):
        for path in sorted((ROOT / package).rglob("*.py")):
            words = ast.get_docstring(ast.parse(path.read_text())) or ""
            if not words and path.name == "__init__.py":
                continue
            lines.append(f"{path.relative_to(ROOT)!s:<34} {words.splitlines()[0]}")
    return "\n".join(["```", *lines, "```"])


def rewrite(readme: str) -> str:
    """The README with its map brought up to date."""
    before, rest = readme.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{file_map()}\n{END}{after}"


def test_every_file_says_what_it_is_for() -> None:
    for package in ("flows", "tasks", "wavlm"):
        for path in (ROOT / package).rglob("*.py"):
            if path.read_text().strip():
                assert ast.get_docstring(ast.parse(path.read_text())), path


def test_the_readme_lists_every_file_with_its_first_line() -> None:
    readme = (ROOT / "README.md").read_text()
    assert readme == rewrite(readme), "run `make readme`"


if __name__ == "__main__":
    target = ROOT / "README.md"
    target.write_text(rewrite(target.read_text()))
