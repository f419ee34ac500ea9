"""The files that are computed from the specs and committed: the schema and the golden keys.

python -m tests.data_specs.golden     writes both again; `make golden` calls it
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from wavlm.pipeline.plan import plan
from wavlm.specs import CorpusSpec, ModelSpec, ModelVersion, Recipe
from wavlm.specs.schema import json_schema
from wavlm.specs.yaml import read_recipe

SPECS = Path(__file__).parents[2] / "data_specs"
SCHEMA = SPECS / "schema.json"
KEYS = Path(__file__).parent / "golden_keys.json"


def golden_keys() -> dict[str, list[str]]:
    """The artifacts of each shipped recipe, with their keys, in the order of the plan."""
    return {
        path.stem: [f"{item.kind}/{item.name}-{item.key}" for item in plan(_fill_in(read_recipe(path)))]
        for path in sorted((SPECS / "recipes").glob("*.yaml"))
    }


def _fill_in(recipe: Recipe) -> Recipe:
    """A recipe as if the content of every folder, archive and model were known: its digest is zeros."""

    def fill(spec: CorpusSpec) -> CorpusSpec:
        if spec.folder is None:
            known = {item: item.model_copy(update={"sha256": "0" * 64}) for item in spec.unpinned}
            return spec.model_copy(update={"sources": tuple(known.get(item, item) for item in spec.sources)})
        return spec.model_copy(update={"sources": (spec.folder.model_copy(update={"content": "0" * 64}),)})

    def fill_model(spec: ModelSpec) -> ModelSpec:
        if isinstance(spec.source, ModelVersion):
            known = spec.source.model_copy(update={"version": "1", "sha256": "0" * 64})
            return spec.model_copy(update={"source": known})
        if spec.folder is None:
            return spec
        return spec.model_copy(update={"source": spec.folder.model_copy(update={"content": "0" * 64})})

    roles = ("speech", "noise", "rooms")
    models = {name: fill_model(spec) for name, spec in recipe.models.items()}
    corpora = {role: tuple(map(fill, getattr(recipe, role))) for role in roles}
    return recipe.model_copy(update={**corpora, "models": models})


def write_golden() -> list[Path]:
    """Write both files again; return those that changed."""
    texts = {
        SCHEMA: json.dumps(json_schema(), indent=1, sort_keys=True) + "\n",
        KEYS: json.dumps(golden_keys(), indent=1) + "\n",
    }
    changed = [path for path, text in texts.items() if path.read_text() != text]
    for path in changed:
        path.write_text(texts[path])
    return changed


if __name__ == "__main__":
    for changed_file in write_golden():
        sys.stdout.write(f"changed: {changed_file}\n")
