"""How to make the same model again: a shell script that writes the recipe and its parts, and runs it."""

from __future__ import annotations

import hashlib
import io
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import JsonValue
from ruamel.yaml import YAML

from wavlm.errors.secrets import without_secrets
from wavlm.specs import Recipe, Spec

FOLDER = "again"
_ROLES = ("speech", "noise", "rooms")


def write_script(recipe: Recipe, versions: Mapping[str, str | None]) -> str:
    """The script; it does not depend on the files that the recipe was read from.

    Logins and queries of addresses are left out.
    """
    lines = [
        f"# {_one_line(recipe.name)}: what the same recipe, with the same code, makes again",
        *_code(versions),
        f"mkdir -p {FOLDER}/recipes {FOLDER}/corpora {FOLDER}/mixes",
    ]
    for name, text in files(recipe).items():
        mark = f"END-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
        lines += [f"cat > {FOLDER}/{shlex.quote(name)} << '{mark}'", text.rstrip("\n"), mark]
    lines += [f"wavlm run {FOLDER}/recipes/{recipe.name}.yaml --store {FOLDER}/store"]
    return "\n".join(lines) + "\n"


def files(recipe: Recipe) -> dict[str, str]:
    """The recipe and what it names, by their paths below a folder of specs."""
    fields = _dump(recipe)
    found = {}
    for role in _ROLES:
        for spec in getattr(recipe, role):
            found[f"corpora/{spec.name}.yaml"] = _to_yaml(_dump(spec))
        if role in fields:
            fields[role] = [spec.name for spec in getattr(recipe, role)]
    iterations: Any = fields["iterations"]
    for iteration, spec in zip(iterations, recipe.iterations, strict=True):
        if spec.mix:
            found[f"mixes/{spec.mix.name}.yaml"] = _to_yaml(_dump(spec.mix))
            iteration["mix"] = spec.mix.name
    return {f"recipes/{recipe.name}.yaml": _to_yaml(fields), **found}


def _code(versions: Mapping[str, str | None]) -> Iterator[str]:
    """How to get the code and the libraries that made the model."""
    git = versions.get("git")
    if git is None:
        yield "# The commit of the code is not known."
    elif git.endswith("-dirty"):
        yield f"# The code was commit {git.removesuffix('-dirty')}, with changes that are in no commit."
    else:
        yield f"git checkout {shlex.quote(git)}"
    known = {name: version for name, version in sorted(versions.items()) if version and name not in _NOT_PIP}
    libraries = [f"{name}=={version.partition('+')[0]}" for name, version in known.items()]  # +cpu is the machine's
    if libraries:
        yield f"pip install -e '.[pipeline]' {' '.join(map(shlex.quote, libraries))}  # Python {versions['python']}"


_NOT_PIP = ("python", "git", "wavlm-pipeline")


def _dump(spec: Spec) -> dict[str, JsonValue]:
    found: dict[str, JsonValue] = spec.model_dump(mode="json", exclude_defaults=True)
    return found


def _to_yaml(fields: dict[str, JsonValue]) -> str:
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.width = 100
    yaml.allow_unicode = True
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    file = io.StringIO()
    yaml.dump(fields, file)
    return without_secrets(file.getvalue())


def _one_line(text: str) -> str:
    return " ".join(text.split())
