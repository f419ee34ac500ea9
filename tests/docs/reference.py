"""The generated parts of docs/recipes.md: all fields, from the docstrings of the specs, and the shipped recipes.

python -m tests.docs.reference     writes them again; `make docs` calls it
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from wavlm.execution.runtime import Runtime
from wavlm.pipeline.cost import cost
from wavlm.specs import CorpusSpec, IterationSpec, MixSpec, Recipe, name_features
from wavlm.specs.simulation import SimulationSpec
from wavlm.specs.yaml import read_recipe

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "recipes.md"
LABELS = ("Unit", "Source", "Change")
FILES: dict[type[BaseModel], str] = {
    Recipe: "Recipe files: data_specs/recipes",
    CorpusSpec: "Corpus files: data_specs/corpora",
    MixSpec: "Mix files: data_specs/mixes",
    SimulationSpec: "Simulation files: data_specs/simulations",
    Runtime: "Options of the command line",
}


class Documentation(NamedTuple):
    """The parts of a field's docstring; a part that is not given is empty."""

    meaning: str
    unit: str
    source: str
    change: str


def documentation(field: FieldInfo) -> Documentation:
    """Split a field's docstring at the lines that begin with `Unit:`, `Source:` or `Change:`."""
    parts = dict.fromkeys(("meaning", *LABELS), "")
    current = "meaning"
    for line in (field.description or "").splitlines():
        label, _, rest = line.partition(":")
        if label in LABELS:
            current, line = label, rest  # noqa: PLW2901 - the text after the label
        parts[current] = f"{parts[current]} {line.strip()}".strip()
    return Documentation(parts["meaning"], parts["Unit"], parts["Source"], parts["Change"])


def models_of(root: type[BaseModel]) -> list[type[BaseModel]]:
    """A model and all models of its fields, in the order of the fields, without those of other files."""
    found = [root]
    for field in root.model_fields.values():
        for model in _models_in(field.annotation):
            if model not in FILES:
                found += [item for item in models_of(model) if item not in found]
    return found


def reference() -> str:
    """All tables, with a heading for each file."""
    lines = []
    for root, title in FILES.items():
        lines += [f"## {title}", ""]
        for model in models_of(root):
            lines += [f"### {model.__name__}", "", _first_sentences(model), "", *_table(model), ""]
    return "\n".join(lines).strip()


def shipped_recipes() -> str:
    """A table with one row per iteration of each recipe of data_specs."""
    lines = [
        "| recipe | iteration | parameters | layers x width | labels | `updates` | `batch_seconds` / `group_seconds` | "
        "`peak_lr` | audio trained on, h | epochs |",
        f"|{' --- |' * 10}",
    ]
    for path in sorted((ROOT / "data_specs" / "recipes").glob("*.yaml")):
        recipe = read_recipe(path)
        estimate = cost(recipe)
        for number, item in enumerate(recipe.iterations):
            network, train = item.network, item.train
            cells = (
                f"`{path.stem}`",
                f"{number + 1}",
                f"{estimate.parameters[number] / 1e6:.1f} M",
                f"{network.num_layers} x {network.width}",
                _labels_of(item),
                f"{train.updates:,}",
                f"{train.batch_seconds:g} / {train.group_seconds:g} = {train.micro_batches_per_update}",
                f"{train.peak_lr:g}",
                f"{train.updates * train.batch_seconds / 3600:,.0f}",
                f"{epochs:.1f}" if (epochs := estimate.epochs[number]) else "?",
            )
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _labels_of(iteration: IterationSpec) -> str:
    """What is clustered, and into how many clusters; for an objective that reads no labels what it is."""
    if iteration.codebook is None:
        return f"none: {iteration.train.objective.type}"
    return f"{name_features(iteration.codebook)}, K = {iteration.codebook.num_clusters}"


def rewrite(guide: str) -> str:
    """The guide with its generated parts brought up to date."""
    for name, part in (("recipes", shipped_recipes()), ("reference", reference())):
        begin, end = f"<!-- {name}: written by `make docs` -->", f"<!-- end of {name} -->"
        before, rest = guide.split(begin)
        _, after = rest.split(end)
        guide = f"{before}{begin}\n\n{part}\n\n{end}{after}"
    return guide


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _first_sentences(model: type[BaseModel]) -> str:
    """The first paragraph of a model's docstring."""
    return " ".join(inspect.cleandoc(model.__doc__ or "").partition("\n\n")[0].split())


def _table(model: type[BaseModel]) -> Iterator[str]:
    yield "| field | meaning | unit or values | default | source | when to change it |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for name, field in model.model_fields.items():
        parts = documentation(field)
        values = parts.unit.rstrip(".") or _values(field.annotation)
        change = parts.change[:1].upper() + parts.change[1:]
        cells = (f"`{name}`", parts.meaning, values, _default(field), parts.source, change)
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _values(annotation: Any) -> str:
    """Values of a choice, or links to the tables of the models of a field."""
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(annotation))
    if annotation is bool:
        return "`true`, `false`"
    models = list(_models_in(annotation))
    return " or ".join(
        "name of a file" if model in FILES else f"[{model.__name__}](#{model.__name__.lower()})" for model in models
    )


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None:
        return "not given"
    if isinstance(value, BaseModel) or (isinstance(value, tuple) and value and isinstance(value[0], BaseModel)):
        return "see there"
    return f"`{json.dumps(value)}`"


if __name__ == "__main__":
    text = GUIDE.read_text()
    if (new := rewrite(text)) != text:
        GUIDE.write_text(new)
        sys.stdout.write(f"changed: {GUIDE}\n")
