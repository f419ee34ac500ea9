"""Write what `wavlm init` decided: a corpus spec, a recipe beside its folder, and a picture of the lengths."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from wavlm.errors import UsageError
from wavlm.pipeline.init.advice import Advice
from wavlm.pipeline.init.continuing import Continued, describe_continued
from wavlm.pipeline.init.corpus_advice import describe_corpus, hold_out
from wavlm.pipeline.init.look import Holdings, Question
from wavlm.pipeline.init.machine import Machine
from wavlm.pipeline.init.manifests import path_from
from wavlm.pipeline.init.picture import draw_lengths
from wavlm.pipeline.init.recipe_advice import describe_recipe
from wavlm.pipeline.init.write import check_free, to_yaml, write_file
from wavlm.specs import CorpusSpec
from wavlm.specs.yaml import read_corpus, read_recipe
from wavlm.storage.encoding import printable

MOST_LETTERS = 48
FALLBACK = "my-speech"


@dataclass(frozen=True)
class Project:
    """Where the files go."""

    recipe: Path
    corpus: Path
    picture: Path
    is_new: bool = True  # False: the corpus spec is there and stays as it is

    @property
    def name(self) -> str:
        return self.recipe.stem

    @property
    def speech(self) -> str:
        """The name of the corpus."""
        return self.corpus.stem

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that are written."""
        return (self.recipe, *((self.corpus,) if self.is_new else ()), self.picture)


def plan_project(question: Question, out: Path, name: str, corpus: str = "", *, force: bool) -> Project:
    """Where the files will go, checked before anything is read. corpus: the name of a spec that is there and stays.

    Raises RecipeError for a spec that cannot be read, and UsageError: NOTHING_FITS if it reads another folder,
    OUT_EXISTS, OUT_INSIDE if the files would lie in the folder that is read, PATH_BAD for a folder that a YAML file
    cannot name.
    """
    root = question.root
    stem = question.manifest.partition(".")[0]
    called = name or to_name(root.resolve().name + (f"-{stem}" if stem and question.manifest != "wav.scp" else ""))
    spec = out / "corpora" / f"{corpus or called}.yaml"
    project = Project(out / f"{called}.yaml", spec, out / f"{called}.png", is_new=not corpus)
    if out.resolve().is_relative_to(root.resolve()):
        raise UsageError(
            "OUT_INSIDE",
            f"the recipe would lie in the folder that is read, and be a part of the corpus; at "
            f"{printable(str(out.resolve()))}; run the command in another folder, or name one by --out",
        )
    if printable(str(root)) != str(root):
        raise UsageError(
            "PATH_BAD", f"the path is no text that a file can hold; at {printable(str(root))}; give the folder a link "
            "with a plain name, and name that"
        )  # fmt: skip
    if not project.is_new:
        _check_corpus(read_corpus(spec), root)
    check_free(project.paths, force=force)
    return project


def _check_corpus(spec: CorpusSpec, root: Path) -> None:
    read = Path(spec.folder.path).resolve() if spec.folder else None
    if read != root.resolve():
        raise UsageError(
            "NOTHING_FITS",
            f"the corpus {spec.name} reads another folder; at {printable(str(read or 'archives'))}; name that folder, "
            "or leave --corpus out",
        )


def write_project(
    project: Project, found: Holdings, machine: Machine, model: Continued | None = None, *, weekly: bool = False
) -> None:
    """Write the files, the recipe last, and read it back. model: the one to continue from; weekly: each week anew.

    Raises CannotWriteError.
    """
    kept = None if project.is_new else read_corpus(project.corpus)
    held = hold_out(found, project.speech, kept.valid_fraction if kept else None)
    if model is None:
        recipe = describe_recipe(found, project.name, held, machine)
    else:
        recipe = describe_continued(found, project.name, held, machine, model, weekly=weekly)
    recipe["speech"] = [project.speech]
    if project.is_new:
        corpus = describe_corpus(found, project.name, path_from(project.corpus.parent, found.root), held)
        write_file(project.corpus, to_yaml(corpus, _corpus_head(found)))
    limits = {name: float(str(value)) for name, value in _limits(recipe).items()}
    title = f"{project.name}: {len(found.rows):,} recordings, {found.hours:,.2f} h"
    draw_lengths(found.lengths, limits, title, project.picture)
    write_file(project.recipe, to_yaml(recipe, _recipe_head(project, found, machine)))
    read_recipe(project.recipe)


def to_name(text: str) -> str:
    """A name for a corpus and a recipe, made of the name of a folder."""
    plain = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:MOST_LETTERS].strip("-")
    return plain or FALLBACK


def _limits(recipe: Mapping[str, object]) -> dict[str, object]:
    """Lengths at which recordings are dropped, cut or joined."""
    shards = recipe["shards"]
    assert isinstance(shards, Mapping)  # noqa: S101 - `describe_recipe` makes it
    return {name: said.value for name, said in shards.items() if name.endswith("_seconds") and isinstance(said, Advice)}


def _corpus_head(found: Holdings) -> list[str]:
    return [
        f"Written by `wavlm init` from what it found: {len(found.rows):,} recordings, {found.hours:,.2f} h. "
        "Change what you like: docs/your-own-speech.md explains the fields.",
    ]


def _recipe_head(project: Project, found: Holdings, machine: Machine) -> list[str]:
    return [
        f"Written by `wavlm init` for {found.hours:,.2f} h of speech and {machine}, which may train "
        f"{machine.hours_per_week:g} h per week. The corpus is {project.corpus.parent.name}/{project.corpus.name}.",
        f"wavlm check {project.recipe.name} looks for mistakes, wavlm plan --cost {project.recipe.name} estimates time "
        f"and disk, wavlm run {project.recipe.name} makes the model.",
    ]
