"""Which changes are drawn, which are left out, and that each is Python."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.mutants.cover import Cover, mirror_of, order
from tests.mutants.draw import of_file

SOURCE = '''
"""Words."""
from __future__ import annotations

import logging

log = logging.getLogger(__name__)
__all__ = ["f"]
READ_TIMEOUT = 20
LIMIT = 3


def f(x: int = 1, *, name: str = "a name") -> list[int]:
    """More words."""
    log.info("x is %d", x + 1)
    if x < 0 and name:
        raise ValueError(f"x is {x + 2}")
    found = [y * 2 for y in sorted(range(x), key=abs) if y]
    found.append(max(x, 4))
    return found[1:-1]
'''


def drawn(tmp_path: Path) -> dict[str, str]:
    """The changed source of each mutant, by its line and what it changes."""
    path = tmp_path / "module.py"
    path.write_text(SOURCE)
    return {f"{one.line} {one.change}": one.applied(SOURCE.encode()).decode() for one in of_file(tmp_path, path)}


def test_the_kinds_of_changes(tmp_path: Path) -> None:
    kinds = [name.split(":")[0].split(" ", 1)[1] for name in drawn(tmp_path)]
    assert sorted(set(kinds)) == [
        "and/or", "argument key dropped", "arithmetic", "comparison", "condition negated", "constant",
        "filter removed", "other function", "sign or not removed", "statement removed",
    ]  # fmt: skip


def test_each_is_python_and_another_program(tmp_path: Path) -> None:
    before = ast.dump(ast.parse(SOURCE))
    after = [ast.dump(ast.parse(source)) for source in drawn(tmp_path).values()]
    assert len(after) == len(set(after))
    assert before not in after


def test_words_and_waits_are_left_out(tmp_path: Path) -> None:
    names = "\n".join(drawn(tmp_path))
    assert "constant: 3 -> 4" in names  # LIMIT
    assert "constant: 1 -> 2" in names  # a default
    for text in ("20 ->", "Words", ": x + 1 ->", ": x + 2 ->", "__all__", "log."):
        assert text not in names, text


def test_operands_keep_their_places(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text("def f(a, b):\n    return 1 + a * (b if a else 0)\n")
    found = {one.after for one in of_file(tmp_path, path) if one.kind == "arithmetic"}
    assert found == {"((1) - (a * (b if a else 0)))", "((a) / (b if a else 0))"}


def test_tests_of_a_line_else_of_the_file_else_of_the_folder() -> None:
    cover = Cover(
        {"wavlm/nn/head.py": {3: {"tests/nn/a::one"}, 9: {"tests/x/b::two"}}},
        {"tests/nn/a::one": 5.0, "tests/x/b::two": 1.0, "tests/nn/c::three": 1.0},
    )
    assert cover.tests("wavlm/nn/head.py", (2, 4)) == {"tests/nn/a::one"}
    assert cover.tests("wavlm/nn/head.py", (5, 5)) == {"tests/nn/a::one", "tests/x/b::two"}
    assert cover.tests("wavlm/nn/other.py", (1, 1)) == {"tests/nn/a::one", "tests/nn/c::three"}
    near = ["tests/nn/c::three", "tests/nn/a::one", "tests/x/b::two"]
    assert order(cover.seconds, cover, "wavlm/nn/head.py") == near
    named = Cover(
        {}, {"tests/nn/test_a.py::cheap": 1.0, "tests/nn/test_head.py::dear": 9.0, "tests/x/test_head.py::far": 0.1}
    )
    assert order(named.seconds, named, "wavlm/nn/head.py")[0] == "tests/nn/test_head.py::dear"
    assert mirror_of("tasks/registry/gate.py") == "tests/tasks"
