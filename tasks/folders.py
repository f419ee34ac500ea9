"""Hash the files of the folders that a recipe reads in place, as far as they are new or have changed."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.orchestration.progress_bar import show_progress
from wavlm.pipeline import resolve
from wavlm.pipeline.store import Store
from wavlm.specs import Recipe


@task(cache_policy=NO_CACHE, task_run_name="folders of {recipe.name}")
def read_folders(recipe: Recipe, store: Store) -> None:
    """Fill the store's lists of the files of folders, from which the keys of corpora follow."""
    with show_progress(f"folders of {recipe.name}") as (progress, _):
        resolve.read_folders(recipe, store, progress)
