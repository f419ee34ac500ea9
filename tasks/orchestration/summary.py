"""The summary of a run as Prefect artifacts: what was reused and made, tables, plots, sounds and links.

A key names what is shown, never a run or a file: so Prefect keeps what earlier runs showed as versions of it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from html import escape
from pathlib import Path
from textwrap import wrap
from typing import Any

import httpx
from prefect.artifacts import Artifact as Shown
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.context import FlowRunContext
from prefect.exceptions import PrefectException

from tasks.orchestration.media import embed_picture, embed_sound
from tasks.orchestration.progress_bar import slug
from tasks.registry.current import read_current
from tasks.registry.pages import report_page, run_page, version_page
from wavlm.errors import CodedError
from wavlm.mixing.listen import find_pairs
from wavlm.mixing.pairs import LISTEN_FOLDER
from wavlm.pipeline.artifacts import Artifact, Mixtures, Registration, Scores
from wavlm.pipeline.outcome import describe_outcome, title_of
from wavlm.pipeline.plan import plan
from wavlm.pipeline.registration import REPORT_FILE, RegistrationFacts
from wavlm.pipeline.store import Store
from wavlm.pipeline.summary import Summary, plots_of, summarise
from wavlm.pipeline.tables import tables
from wavlm.specs import Recipe

MAX_PAIRS = 20  # of sounds on a page: half a megabyte
SMALL_CHARACTERS = 10_000
CELL_CHARACTERS = 44  # in a line of a table, of which Prefect shows about 90

logger = logging.getLogger(__name__)


def publish_work(recipe: Recipe, store: Store, chosen: Sequence[Artifact], there: Collection[Artifact]) -> None:
    """Publish which artifacts a run found complete, which it made, and which it did not reach."""
    title = f"{recipe.name}: what was reused and made"
    lines = ["| | stage | outcome |", "|---|---|---|"]
    lines += [_row(item, store, was_there=item in there) for item in chosen]
    _publish(lambda: _create_page("\n".join(lines) + "\n", f"{slug(recipe.name)}-work", title))


def publish(recipe: Recipe, store: Store) -> None:
    """Publish what the store holds of a recipe."""
    _publish(lambda: _publish_all(recipe, store))


def _publish(create: Callable[[], object]) -> None:
    """A server that fails costs a warning, no more."""
    if FlowRunContext.get() is None:
        return
    try:
        create()
    except (httpx.HTTPError, PrefectException) as error:
        logger.warning("the summary is not shown in Prefect: %s", error)


def _row(artifact: Artifact, store: Store, *, was_there: bool) -> str:
    """A row of a table. Cells are broken into short lines, for Prefect breaks none and cuts what is too long."""
    what, outcome = "not made", ""
    if store.is_complete(artifact):
        made = "made" if artifact.key in store.built else "made by another run"
        what = "reused" if was_there else made
        with suppress(CodedError):  # a record that cannot be read is the next reader's error
            outcome = describe_outcome(artifact, store)
    cells = (what, f"{title_of(artifact)}; {artifact.key}", outcome)
    broken = ([line for part in cell.split("; ") for line in wrap(part, CELL_CHARACTERS)] for cell in cells)
    row = " | ".join("<br>".join(map(escape, lines)).replace("|", "&#124;") for lines in broken)
    link = _report_link(artifact, store)
    return f"| {row}<br>{link} |" if link else f"| {row} |"


def _report_link(artifact: Artifact, store: Store) -> str | None:
    """A link to the page about a registered model in MLflow; None where there is no such page."""
    if not isinstance(artifact, Registration) or not _report_of(artifact, store):
        return None
    facts = store.facts(artifact, RegistrationFacts)
    address = report_page(facts.uri, facts.experiment_id, facts.run_id, REPORT_FILE)
    return f"[report]({address})" if address else None


def _report_of(artifact: Registration, store: Store) -> Path | None:
    """The page about a registered model in the store. Registrations of an earlier version of the pipeline have none."""
    page = store.path(artifact) / REPORT_FILE if store.is_complete(artifact) else None
    return page if page and page.is_file() else None


def _create_page(page: str, key: str, description: str) -> None:
    """Publish a page, unless it is large and Prefect shows it already: a nightly run would store it once more."""
    if len(page) > SMALL_CHARACTERS and _is_shown(page, key):
        return
    create_markdown_artifact(page, key=key, description=description)


def _is_shown(page: str, key: str) -> bool:
    shown: Any = Shown.get(key)  # it would be a coroutine only if an event loop ran here
    return shown is not None and shown.data == page


def _publish_all(recipe: Recipe, store: Store) -> None:
    artifacts = plan(recipe)
    summary = summarise(artifacts, store, read_current)
    prefix = slug(recipe.name)
    for name, rows in tables(summary):
        create_table_artifact(rows, key=f"{prefix}-{name}", description=f"{recipe.name}: {name}")
    links = list(_links(artifacts, store))
    _create_page(_text(recipe, summary, links), f"{prefix}-summary", f"{recipe.name}: what the store holds")
    for item in artifacts:
        if isinstance(item, Scores | Registration):
            for plot in plots_of(item, store):
                _publish_plot(prefix, item.model.iteration, plot)
        if isinstance(item, Registration) and (report := _report_of(item, store)):
            page = _report_text(report, _report_link(item, store))
            title = f"Iteration {item.model.iteration}: its report, to look at and to listen to"
            _create_page(page, f"{prefix}-iteration-{item.model.iteration}-report", title)
        if isinstance(item, Mixtures) and store.is_complete(item):
            page = _listening_page(store.path(item) / LISTEN_FOLDER)
            _create_page(page, f"{prefix}-listen-{slug(item.name)}", f"Listen to {item.name}, clean and mixed")


def _text(recipe: Recipe, summary: Summary, links: Sequence[str]) -> str:
    lines = [f"# {recipe.name}", "", recipe.description, ""]
    for title, items in (
        ("What the numbers say", summary.findings),
        ("In MLflow", links),
        ("Not made yet", [f"`{item}`" for item in summary.missing]),
        ("Next", [f"`{item}`" for item in summary.advice]),
    ):
        if items:
            lines += [f"## {title}", "", *(f"- {item}" for item in items), ""]
    return "\n".join(lines)


def _links(artifacts: Sequence[Artifact], store: Store) -> Iterator[str]:
    """Links to the version and the run of each registration, where MLflow has pages."""
    for item in artifacts:
        if not isinstance(item, Registration) or not store.is_complete(item):
            continue
        facts = store.facts(item, RegistrationFacts)
        version, run = version_page(facts.uri, facts.name, facts.version), run_page(facts.uri, facts.run_id)
        iteration = f"iteration {item.model.iteration}: {facts.name}, version {facts.version}"
        pages = (
            f"[version]({version}), [run]({run})" if version and run else f"in `{facts.uri}`, which `wavlm ui` shows"
        )
        yield f"{iteration}, {pages}"


def _report_text(report: Path, link: str | None) -> str:
    """Where the report of an iteration is: in MLflow, if that has pages, and in the store, for any browser."""
    in_mlflow = [f"- in MLflow: {link}"] if link else []
    lines = ["Figures, curves, data and examples on one page.", "", *in_mlflow, f"- in the store: `{report}`"]
    return "\n".join(lines) + "\n"


def _publish_plot(prefix: str, iteration: int, plot: Path) -> None:
    title = f"Iteration {iteration}: {plot.stem.replace('_', ' ')}"
    page = f"![{title}]({embed_picture(plot)})\n\n`{plot}`\n"
    _create_page(page, f"{prefix}-iteration-{iteration}-{slug(plot.stem)}", title)


def _listening_page(folder: Path) -> str:
    """Players of each pair. Prefect's first interface shows them; its second one leaves players out."""
    pairs = find_pairs(folder)
    lines = [
        f"{min(len(pairs), MAX_PAIRS)} of {len(pairs)} pairs, before and after. If no players show, listen to the "
        f"files in `{folder}`.",
    ]
    for pair in pairs[:MAX_PAIRS]:
        lines += ["", f"### {pair.name}", ""]
        lines += [f"- {name} {_player(f'{pair.name}, {name}', path)}" for name, path in pair.sounds.items()]
    return "\n".join(lines) + "\n"


def _player(title: str, sound: Path) -> str:
    return f'<audio controls preload="metadata" title="{escape(title)}" src="{embed_sound(sound)}"></audio>'
