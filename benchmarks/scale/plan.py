"""Commands that only look: `plan`, `plan --cost`, `status` and `gc`, with earlier generations of a recipe in the store.

And what has to be made after a change: one new clip of noise, or ten new hours of speech that iteration 3 uses.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks.scale import Row, cost_of

if TYPE_CHECKING:  # imports are no part of what is measured
    from wavlm.specs import CorpusSpec

NAME = "wavlm-large"
GENERATIONS = 5
# CPU s of each command above that for an empty store, with five generations, and the goal.
KNOWN = {"plan": ("64 CPU s", "<= 0.5 CPU s"), "cost": ("", ""), "status": ("", ""), "gc": ("", "")}
CHANGES = {"one new noise clip": ("22", "<= 6"), "10 new hours for iteration 3": ("23", "<= 8")}


def measure(size: int | None = None) -> list[Row]:
    """CPU time and memory of each command. size: generations."""
    generations = size or GENERATIONS
    with TemporaryDirectory() as name:
        store, empty = Path(name) / "store", Path(name) / "empty"
        empty.mkdir()
        recipe = write_recipe(Path(name) / "specs")
        num_artifacts = cost_of(fill, recipe, store, generations).result
        rows = [Row("artifacts in the store", num_artifacts, "", generations)]
        for command, (before, goal) in KNOWN.items():
            first, found = (cost_of(look, command, recipe, root) for root in (empty, store))
            what = f"{command} of wavlm-large, with earlier generations"
            rows.append(
                Row(f"{what}, above an empty store", found.cpu_s - first.cpu_s, "CPU s", generations, before, goal)
            )
            rows.append(Row(f"{what}: peak memory", found.peak_mb, "MB", generations))
        return [*rows, *changes(recipe)]


def write_recipe(folder: Path) -> Path:
    """The recipe, with a content for each of its corpora that is a folder: as if all of them had been read."""
    from wavlm.pipeline.resolve import corpora_of
    from wavlm.specs.lookup import shipped_specs
    from wavlm.specs.yaml import read_recipe

    shipped = shipped_specs() / "recipes" / f"{NAME}.yaml"
    for spec in corpora_of(read_recipe(shipped)):
        if spec.folder:
            source = {
                **spec.folder.model_dump(mode="json", exclude_defaults=True),
                "content": sha256_of_name(spec.name),
            }
            values = {**spec.model_dump(mode="json", exclude_defaults=True), "sources": [source]}
            path = folder / "corpora" / f"{spec.name}.yaml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(values))  # which is YAML
    recipe = folder / "recipes" / shipped.name
    recipe.parent.mkdir(parents=True)
    recipe.write_text(shipped.read_text())
    return recipe


def sha256_of_name(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def fill(recipe: Path, root: Path, generations: int) -> int:
    """Make the store."""
    from benchmarks.scale.stores import fill_store
    from wavlm.pipeline.store import Store
    from wavlm.specs.yaml import read_recipe

    return fill_store(Store(root), read_recipe(recipe), generations)


def look(command: str, recipe: Path, root: Path) -> None:
    """What the command line does for a command, without printing it."""
    from flows.cli.inventory import list_broken, list_complete, list_under_way
    from flows.cli.plan import cost_table, plan_table
    from wavlm.pipeline.garbage.find import find_garbage
    from wavlm.pipeline.garbage.kept import find_kept
    from wavlm.pipeline.store import Store

    store = Store(root)
    if command == "plan":
        plan_table(recipe, store)
    elif command == "cost":
        cost_table(recipe, store)
    elif command == "status":
        list(list_complete(store)), list(list_broken(store)), list(list_under_way(store))
    else:
        find_garbage(store, find_kept(store, [recipe]))


def changes(path: Path) -> Iterable[Row]:
    """Artifacts of the recipe whose keys change, without evaluations: what a store that has all others has to make."""
    from wavlm.pipeline.artifacts import Model, Scores
    from wavlm.pipeline.plan import plan
    from wavlm.specs.yaml import read_recipe

    recipe = read_recipe(path)
    for what, role, name in (
        ("one new noise clip", "noise", "dns-noise"),
        ("10 new hours for iteration 3", "speech", "gigaspeech"),
    ):
        before = {item.key for item in plan(recipe)}
        changed = recipe.model_copy(update={role: tuple(_with_more(item, name) for item in getattr(recipe, role))})
        again = [item for item in plan(changed) if item.key not in before]
        yield Row(
            f"artifacts to be made after {what}",
            sum(not isinstance(item, Scores) for item in again),
            "",
            0,
            *CHANGES[what],
        )
        early = [item for item in again if isinstance(item, Model) and item.iteration < 3]
        yield Row(f"models of iterations 1 and 2 among them after {what}", len(early), "", 0, "2", "0")


def _with_more(spec: CorpusSpec, name: str) -> CorpusSpec:
    """The spec of a corpus after files were added: of its archives, other ones."""
    if spec.name != name:
        return spec
    first = spec.sources[0]
    pins = {"content": "0" * 64, "sha256": "0" * 64, "md5": "0" * 32}
    pin = next({field: value} for field, value in pins.items() if getattr(first, field, None))
    return spec.model_copy(update={"sources": (first.model_copy(update=pin), *spec.sources[1:])})
