"""The summary of a run as Prefect artifacts: the tables, plots and links that the terminal shows."""

from __future__ import annotations

import base64
import logging
from pathlib import Path

import httpx
from prefect.artifacts import (
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_table_artifact,
)
from prefect.exceptions import PrefectException

from tasks.orchestration.progress_bar import slug
from tasks.registry.current import read_current
from wavlm.pipeline.plan import plan
from wavlm.pipeline.store import Store
from wavlm.pipeline.summary import Summary, summarise
from wavlm.pipeline.tables import tables
from wavlm.specs import Recipe

# Artifacts are rows of the server's database: a plot goes in as a data URI if it is small.
MAX_IMAGE_BYTES = 300_000

logger = logging.getLogger(__name__)


def publish(recipe: Recipe, store: Store) -> None:
    """Publish what the store holds of a recipe; a server that fails costs a warning, no more."""
    summary = summarise(plan(recipe), store, read_current)
    prefix = slug(recipe.name)
    try:
        for name, rows in tables(summary):
            create_table_artifact(rows, key=f"{prefix}-{name}", description=f"{recipe.name}: {name}")
        create_markdown_artifact(_text(recipe, summary), key=f"{prefix}-summary")
        for plot in summary.plots:
            _publish_plot(prefix, plot)
        for folder in summary.listen:
            create_link_artifact(
                folder.as_uri(),
                link_text=str(folder),
                key=f"{prefix}-listen",
                description="clean and mixed utterances",
            )
    except (httpx.HTTPError, PrefectException) as error:
        logger.warning("the summary is not shown in Prefect: %s", error)


def _text(recipe: Recipe, summary: Summary) -> str:
    lines = [f"# {recipe.name}", "", recipe.description, ""]
    lines += [f"- {item}" for item in summary.findings]
    if summary.missing:
        lines += ["", "Not made yet:", "", *(f"- `{item}`" for item in summary.missing)]
    if summary.advice:
        lines += ["", "Next:", "", *(f"- `{item}`" for item in summary.advice)]
    return "\n".join(lines) + "\n"


def _publish_plot(prefix: str, plot: Path) -> None:
    blob = plot.read_bytes()
    key = f"{prefix}-{slug(plot.parent.name.rpartition('-')[0])}-{slug(plot.stem)}"
    if len(blob) > MAX_IMAGE_BYTES:
        create_link_artifact(plot.as_uri(), link_text=str(plot), key=key)
        return
    image = f"data:image/png;base64,{base64.b64encode(blob).decode()}"
    create_image_artifact(image, key=key, description=str(plot))
