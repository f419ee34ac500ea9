"""Archives and audio of corpora: they go once what is made from them is complete, if all recipes in use allow it.

A recipe is in use if it was run with this store, or is named. A shipped recipe that nobody runs has no voice.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from wavlm.corpus.archives import AUDIO, RECEIPTS
from wavlm.pipeline.artifacts import Artifact, Corpus, Shards
from wavlm.pipeline.garbage.kept import KeptRecipe
from wavlm.pipeline.garbage.notes import archives_of
from wavlm.pipeline.garbage.survey import Item, Survey, What
from wavlm.specs import HttpsSource, ModelArchive
from wavlm.storage.seals import PLACES_FILE

_FORMS = {form for source in (HttpsSource, ModelArchive) for form in get_args(source.model_fields["format"].annotation)}
ARCHIVES = tuple(f".{form}{end}" for form in sorted(_FORMS | {"deb"}) for end in ("", ".aes"))


def find_downloads(survey: Survey) -> Iterator[Item]:
    """Half downloads of what no kept recipe names, and downloads with the wrong bytes."""
    downloads = survey.store.downloads
    noted = {name for note in survey.kept.notes for name in note.archives}
    for path in sorted((*downloads.glob("*.part*"), *downloads.glob("*.bad"))):
        whole = path.name.partition(".part")[0].removesuffix(".bad")
        if path.suffix == ".bad" or not (_owners(survey, whole) or whole in noted or survey.kept.unclear):
            why = "has the wrong bytes" if path.suffix == ".bad" else "no kept recipe downloads it"
            yield Item(What.UNFINISHED, path, why, downloads / f"{whole}.lock")


def find_archives(survey: Survey) -> Iterator[Item]:
    """Archives of complete corpora and models, where the recipes allow it, and those that nothing kept names."""
    if survey.kept.unclear:
        return
    noted = {name for note in survey.kept.notes for name in note.archives}
    hidden = {name for note in survey.kept.hidden for name in note.archives}
    receipts = {path.stem for _, folder in survey.of_kind(Corpus.kind) for path in (folder / RECEIPTS).glob("*.json")}
    for path in sorted(survey.store.downloads.iterdir() if survey.store.downloads.is_dir() else ()):
        if not path.is_file() or path.name.startswith(".") or not path.name.endswith(ARCHIVES):
            continue
        owners = _owners(survey, path.name)
        used = [(item, made) for item, made in owners if item.is_used]
        if not owners and path.name not in noted and path.name.partition(".")[0] not in receipts:
            why = "no kept recipe or registered model names it"
        elif used and path.name not in hidden and all(_may_go(survey, item, made) for item, made in used):
            why = "what is made from it is complete, and nothing keeps it"
        else:
            continue
        yield Item(What.ARCHIVES, path, why, path.with_name(f"{path.name}.lock"))


def find_audio(survey: Survey) -> Iterator[Item]:
    """Audio of complete corpora whose shards are complete, where the recipes in use allow it."""
    hidden = {key for note in survey.kept.hidden for key in note.keys}
    for key, folder in survey.of_kind(Corpus.kind):
        if key in hidden or survey.kept.unclear:
            continue  # nobody here knows whether the recipe lets it go
        shards = [
            (item, artifact)
            for item in survey.kept.recipes
            for artifact in item.artifacts
            if item.is_used and isinstance(artifact, Shards) and artifact.corpus.key == key
        ]
        allowed = [
            not _keeps_audio(item, artifact.corpus) and survey.store.is_complete(artifact) for item, artifact in shards
        ]
        if (path := folder / AUDIO).is_dir() and allowed and all(allowed):
            why = "its shards are complete, and nothing keeps it"
            yield Item(What.AUDIO, path, why, survey.lock_of(folder), folder)


def _owners(survey: Survey, archive: str) -> list[tuple[KeptRecipe, Artifact]]:
    """The kept recipes that name an archive, with the corpus or model that is unpacked from it."""
    return [
        (item, artifact)
        for item in survey.kept.recipes
        for artifact in item.artifacts
        if archive in archives_of(artifact, survey.store)
    ]


def _keeps_audio(item: KeptRecipe, corpus: Corpus) -> bool:
    """Whether unpacked audio stays: as the corpus says, else as the recipe does."""
    return item.recipe.keep.audio if corpus.spec.keep is None else corpus.spec.keep == "files"


def _may_go(survey: Survey, item: KeptRecipe, made: Artifact) -> bool:
    """Whether an archive may go: what is unpacked from it is complete, and what is packed from it, too."""
    if not survey.store.is_complete(made):
        return False
    if not isinstance(made, Corpus) or made.spec.keep is None:
        kept = item.recipe.keep.archives
    else:
        kept = made.spec.keep == "archives"
    return not kept and not _is_read(survey, item, made)


def _is_read(survey: Survey, item: KeptRecipe, made: Artifact) -> bool:
    """Whether audio was left in the archives of a corpus, and shards are still to be packed from them."""
    if not isinstance(made, Corpus) or not (survey.store.path(made) / PLACES_FILE).exists():
        return False
    shards = (
        artifact for artifact in item.artifacts if isinstance(artifact, Shards) and artifact.corpus.key == made.key
    )
    return not survey.store.has_all(shards)
