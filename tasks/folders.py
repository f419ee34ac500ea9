"""Hash the files of the folders that a recipe reads in place, as far as they are new or have changed.

Archives without their publisher's digest are downloaded here, too: before that their corpus has no key.
"""

from __future__ import annotations

from contextlib import nullcontext

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.orchestration.limits import DOWNLOAD, hold_slot
from tasks.orchestration.progress_bar import show_progress
from tasks.orchestration.stage import RETRIES
from tasks.orchestration.waiting import wait_out
from wavlm.execution.runtime import Runtime
from wavlm.pipeline import resolve
from wavlm.pipeline.first_downloads import unknown_archives
from wavlm.pipeline.store import Store
from wavlm.specs import Recipe


@task(cache_policy=NO_CACHE, task_run_name="folders of {recipe.name}", **RETRIES)
def read_folders(recipe: Recipe, store: Store, runtime: Runtime) -> Recipe:
    """Fill the store's lists of the files of folders. Returns the recipe with what they hold now."""
    resolved = resolve.resolve(recipe, store, is_today=True)
    downloads = any(unknown_archives(spec) for spec in resolve.corpora_of(resolved))
    slot = hold_slot(DOWNLOAD) if downloads else nullcontext()
    with slot, show_progress(f"folders of {recipe.name}") as (progress, _):
        return wait_out(lambda: resolve.read_folders(recipe, store, progress, is_today=True), runtime)
