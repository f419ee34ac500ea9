"""Change recipes and the specs that they name at random, and see that they are read right or refused with a code.

A file that is accepted is read a second time by ruamel.yaml's own loader. A value that differs, or a file that only one
of the two accepts, is a silent fault.
"""

from __future__ import annotations

import math
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from tests.fuzz.mutations import (
    RNG,
    Change,
    cut,
    flip_bit,
    indent_line,
    insert_one_of,
    remove_part,
    repeat_line,
    swap_lines,
)
from wavlm.specs.lookup import shipped_specs
from wavlm.specs.tree import RecipeError, parse_tree
from wavlm.specs.yaml import read_recipe

SLOW_SECONDS = 60.0  # the largest recipe is read in a fraction of a second
PIECES = [
    b"\0", b"\t", b"\n", b"\r", b"\xff", b"'", b'"', b"\xef\xbb\xbf", b"\xed\xa0\x80", "\u2028".encode(), b"\x85",
    b"[", b"]", b"{", b"}", b",", b":", b": ", b"- ", b"? ", b"#", b" #", b"|\n", b">\n", b"&a ", b"*a", b"!!str ",
    b"!!python/object:os.system ", b"%", b"---\n", b"...\n", b"<<: ", b"=", b"~", b"null", b"yes", b"true", b"0x1F",
    b"0o17", b"1_0",
    b"1e400", b"-.inf", b".nan", b"-0.0", b"1e-400", b"2001-01-01", b"12:30:45", b"9" * 5000, b"1e" + b"9" * 400,
    b"[" * 5000, b"{a: " * 5000, b"a: [" + b"1," * 40_000 + b"]", b"x" * 200_000, b"\\ud800", b'"\\x"', b"\\",
]  # fmt: skip
CHANGES: list[Change] = [
    flip_bit, cut, remove_part, repeat_line, swap_lines, indent_line, *[insert_one_of(PIECES)] * 6,
]  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A changed file of data_specs, and the recipe that reads it."""

    name: str  # relative to data_specs
    recipe: str
    kind: str  # what was changed
    blob: bytes


def run(count: int, seed: int) -> list[dict[str, object]]:
    """One dictionary per changed file: what was changed, and the outcome: ok, coded, crash, hang or silent."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "data_specs"
        shutil.copytree(shipped_specs(), root)
        return [_try_out(case, root) for case in cases(count, seed)]


def cases(count: int, seed: int) -> Iterator[Case]:
    """Changed files, the same for a seed: recipes, and what they name."""
    specs = shipped_specs()
    recipes = sorted((specs / "recipes").glob("*.yaml"))
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        recipe = recipes[number % len(recipes)]
        path = recipe if rng.random() < 0.5 else _choose_named(recipe, rng)
        blob, kinds = path.read_bytes(), []
        for _ in range(int(rng.integers(1, 4))):
            change = CHANGES[int(rng.integers(len(CHANGES)))]
            blob = change(blob, rng)
            kinds.append(change.__name__)
        yield Case(str(path.relative_to(specs)), recipe.stem, ", ".join(kinds), blob)


def _choose_named(recipe: Path, rng: RNG) -> Path:
    """A corpus, a mix or a network that a recipe names; its words for people name nothing."""
    values = re.sub(
        r"#.*|^ *description:.*(\n +.*)*", "", recipe.read_text(), flags=re.MULTILINE
    )  # no words for people
    words = set(re.findall(r"[a-z0-9_-]+", values))
    folders = (recipe.parents[1] / name for name in ("corpora", "mixes", "networks"))
    named = sorted(path for folder in folders for path in folder.glob("*.yaml") if path.stem in words)
    return named[int(rng.integers(len(named)))]


def _try_out(case: Case, root: Path) -> dict[str, object]:
    path = root / case.name
    before = path.read_bytes()
    path.write_bytes(case.blob)
    begin = time.monotonic()
    try:
        outcome, detail = _read(root / "recipes" / f"{case.recipe}.yaml", path)
    finally:
        path.write_bytes(before)
    if time.monotonic() - begin > SLOW_SECONDS:
        outcome, detail = "hang", f"{time.monotonic() - begin:.1f} s"
    return {"kind": f"{case.name}: {case.kind}", "outcome": outcome, "detail": detail}


def _read(recipe: Path, changed: Path) -> tuple[str, str]:
    try:
        read_recipe(recipe)
    except RecipeError as error:
        return "coded", str(error)
    except Exception as error:  # noqa: BLE001 - any other exception is what is looked for
        return "crash", repr(error)
    return _compare(changed)


def _compare(path: Path) -> tuple[str, str]:
    ours = parse_tree(path).fields
    try:
        theirs = YAML(typ="safe", pure=True).load(path.read_bytes().decode("utf-8-sig"))
    except YAMLError as error:
        return "silent", f"only ruamel.yaml refuses it: {error}"
    return ("ok", "") if _is_same(ours, theirs) else ("silent", f"{ours} is not {theirs}")


def _is_same(ours: object, theirs: object) -> bool:
    """Equal values; a text may be what the other loader takes for a date or for a number with underscores."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        names = {str(name).lower() if isinstance(name, bool) else str(name) for name in theirs}
        return names == set(ours) and all(map(_is_same, ours.values(), theirs.values()))
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(_is_same, ours, theirs))
    both_nan = isinstance(ours, float) and isinstance(theirs, float) and math.isnan(ours) and math.isnan(theirs)
    is_text_here = isinstance(ours, str) and isinstance(theirs, date | int | float)
    return both_nan or is_text_here or (type(ours) is type(theirs) and ours == theirs)
