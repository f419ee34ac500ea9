"""A recipe of which all is known: what commands need that neither read folders nor ask a registry."""

from __future__ import annotations

from wavlm.errors import UsageError
from wavlm.pipeline.aside import find_left_out
from wavlm.pipeline.first_downloads import unknown_archives
from wavlm.pipeline.language_models import unknown_language_models
from wavlm.pipeline.resolve import corpora_of, resolve, unknown_corpora
from wavlm.pipeline.resolve_models import unknown_models
from wavlm.pipeline.store import Store
from wavlm.specs import Recipe


def require_known(recipe: Recipe, store: Store) -> Recipe:
    """The resolved recipe. Raises UsageError (FOLDER_UNKNOWN) if a folder or a model has to be read first.

    DOWNLOAD_UNKNOWN if an archive has to be downloaded first. Corpora of evaluations that are set aside do not count.
    """
    resolved = resolve(recipe, store)
    left_out = find_left_out(resolved, store)
    if new := [it.name for it in corpora_of(resolved) if unknown_archives(it) and it.name not in left_out]:
        raise UsageError(
            "DOWNLOAD_UNKNOWN",
            f"archives of {', '.join(new)} have no digest from their publisher, and were not downloaded yet; in recipe "
            f"{recipe.name}; run `wavlm run`, which downloads them",
        )
    if new := [name for name in unknown_corpora(resolved) if name not in left_out]:
        raise UsageError(
            "FOLDER_UNKNOWN",
            f"the folder of {', '.join(new)} has files that are new or changed since they were read; in recipe "
            f"{recipe.name}; run `wavlm run`, which reads them",
        )
    if unknown := unknown_models(resolved):
        raise UsageError(
            "FOLDER_UNKNOWN",
            f"the model {', '.join(unknown)} was not read, or not asked for in the registry, since it is named so; in "
            f"recipe {recipe.name}; run `wavlm run`, which does that",
        )
    if unread := unknown_language_models(resolved):
        raise UsageError(
            "FOLDER_UNKNOWN",
            f"the language model of {', '.join(unread)} is new or has changed since it was read; in recipe "
            f"{recipe.name}; run `wavlm run`, which reads it",
        )
    return resolved
