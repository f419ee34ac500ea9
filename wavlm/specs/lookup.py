"""Where recipes, corpora, mixes and networks are found by name: files beside the recipe, then the shipped ones."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path

_PACKAGE = Path(__file__).parents[1]


def shipped_specs() -> Path:
    """The folder data_specs that comes with the library.

    An installed wheel has it inside the package `wavlm`. A clone and an editable install have it beside the package.
    """
    inside = _PACKAGE / "data_specs"
    return inside if inside.is_dir() else _PACKAGE.parent / "data_specs"


def specs_folders(recipe: Path) -> tuple[Path, ...]:
    """The folders whose corpora, mixes and networks a recipe file may name, the first to be searched first.

    The recipe's own folder, so that `corpora` may lie beside it; the folder above it, for recipes in `recipes`; and the
    shipped ones.
    """
    own = recipe.resolve().parent
    return tuple(dict.fromkeys((own, own.parent, shipped_specs().resolve())))


def is_bare_name(path: Path) -> bool:
    """True for `demo`; False for `demo.yaml` and `recipes/demo`."""
    return len(path.parts) == 1 and not path.suffix


def is_file(path: Path) -> bool:
    """Whether this is a file that can be reached; false as well for a path that no file can have."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def names_in(folder: Path) -> list[str]:
    """The names of the YAML files of a folder, sorted; empty if there is no such folder."""
    return sorted(file.stem for file in folder.glob("*.yaml"))


def find_file(folders: Sequence[Path], name: str) -> Path | None:
    """`<name>.yaml` of the first folder that has it."""
    return next((folder / f"{name}.yaml" for folder in folders if name in names_in(folder)), None)


def list_names(folders: Sequence[Path]) -> str:
    """All names that each folder has, for an error message. Folders without any are left out, unless all are."""
    shown = [folder for folder in folders if names_in(folder)] or folders
    return " or ".join(f"{', '.join(names_in(folder)) or 'none'} ({folder})" for folder in shown)


def suggest(name: object, known: Iterable[str]) -> str:
    """`did you mean X?` for the known name that a mistyped one is most like; empty if it is like none."""
    names = {item.lower(): item for item in known}
    typed = str(name).lower()
    near = difflib.get_close_matches(typed, names, n=1) or [item for item in sorted(names) if item.startswith(typed)]
    return f"did you mean {names[near[0]]}?" if typed and near else ""
