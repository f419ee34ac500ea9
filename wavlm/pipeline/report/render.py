"""Make the page of a report from its values: HTML with style, script, charts and audio inside.

Templates escape all text. Beside that the page's own policy (CSP) runs one script, the one whose digest it names, and
loads nothing from anywhere: a text from a corpus that got into the page as markup could do nothing.
"""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import UTC, datetime
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from wavlm.corpus.audio.reason import ADVICE
from wavlm.evaluation.results.board import NO_CLAIMS, notes_of, rows_of, synthetic_rows_of
from wavlm.pipeline.artifacts import Export, Scores
from wavlm.pipeline.registration import REPORT_FILE
from wavlm.pipeline.report import charts, layer_charts
from wavlm.pipeline.report.content import Report
from wavlm.pipeline.report.graph import draw_graph
from wavlm.pipeline.report.label_words import say_errors, say_labels
from wavlm.pipeline.report.repeat import write_script
from wavlm.pipeline.report.sound import make_players
from wavlm.pipeline.report.views import account, effects, findings, reuse, validation
from wavlm.storage.files import write_text

UNKNOWN = "?"
_LOADER = PackageLoader("wavlm.pipeline.report")


def write_report(report: Report, folder: Path) -> Path:
    """Write `report.html` into a folder, which is made if it is not there; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / REPORT_FILE
    write_text(path, render(report))
    return path


def render(report: Report) -> str:
    """The page. The same report gives the same text."""
    environment = _environment()
    script = _source(environment, "report.js")
    players = make_players(report.mixtures) if report.mixtures else ()
    versions = next(item.versions for item in report.made if item.artifact.key == report.model.key)
    there = [item.artifact for item in report.made if item.finished_unix is not None]
    return environment.get_template("report.html").render(
        report=report,
        script=Markup(script),  # noqa: S704 - a file of this package
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        style=Markup(_source(environment, "report.css")),  # noqa: S704
        curves=charts.draw_curves(report),
        quality=charts.draw_quality(report),
        histogram=charts.draw_histogram(report.histogram) if report.histogram else None,
        inertia=charts.draw_inertia(report.codebook) if report.codebook else None,
        labels_made_by=say_labels(report.codebook) if report.codebook else "",
        errors_of_streams=say_errors(report.codebook) if report.codebook else "",
        layers=charts.draw_layers(report.scores) if report.scores else None,
        abx=layer_charts.draw_abx(report.scores) if report.scores else None,
        rank=layer_charts.draw_rank(report.scores) if report.scores else None,
        weights=layer_charts.draw_weights(report),
        results_of_suite={
            title: rows
            for title, rows in (
                ("Results of the suite", rows_of(report.board)),
                (f"Results of the suite {NO_CLAIMS}", synthetic_rows_of(report.board)),
                ("Systems fine-tuned on this model", rows_of(report.systems)),
                (f"Systems fine-tuned on this model {NO_CLAIMS}", synthetic_rows_of(report.systems)),
            )
            if rows
        },
        notes_of_suite=[*notes_of(report.board), *notes_of(report.systems)],
        players=players,
        pairs_left_out=report.mixtures.left_out + len(report.mixtures.pairs) - len(players) if report.mixtures else 0,
        graph=draw_graph(report.model, [item for item in there if isinstance(item, Scores | Export)]),
        account=account(report),
        effects=effects(report),
        findings=findings(report),
        reuse=reuse(report),
        validation=validation(report),
        advice={str(reason): text for reason, text in ADVICE.items()},
        versions=versions,
        repeat=write_script(report.recipe, versions),
    )


def _environment() -> Environment:
    environment = Environment(
        loader=_LOADER,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": _number,
        "hours": _hours,
        "slug": lambda text: re.sub("[^a-z]+", "-", text.lower()).strip("-"),
        "percent": _percent,
        "date": _date,
        "duration": _duration,
        "size": _size,
        "svg": lambda chart: Markup(chart.markup),  # noqa: S704 - matplotlib escapes the text in it
        "is_link": lambda address: address.startswith(("https://", "http://")),
    }
    return environment


def _source(environment: Environment, name: str) -> str:
    return _LOADER.get_source(environment, name)[0]


def _number(value: float | None, digits: int = 0) -> str:
    return UNKNOWN if value is None else f"{value:,.{digits}f}"


def _hours(hours: float | None) -> str:
    """Two decimals, but never 0.00 for what is there: a room response has a second."""
    if hours is None:
        return UNKNOWN
    return f"{hours:,.2f}" if hours >= 0.1 or not hours else f"{hours:.2g}"


def _percent(value: float | None, digits: int = 1) -> str:
    return UNKNOWN if value is None else f"{100 * value:.{digits}f} %"


def _date(unix: float | None) -> str:
    return UNKNOWN if unix is None else f"{datetime.fromtimestamp(unix, UTC):%Y-%m-%d %H:%M}"


def _duration(seconds: float | None) -> str:
    """As people read it: 12 s, 3 min 05 s, 2 h 10 min."""
    if seconds is None:
        return UNKNOWN
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60:,} h {minutes % 60:02d} min"


def _size(num_bytes: float | None) -> str:
    """Powers of 1000."""
    if num_bytes is None:
        return UNKNOWN
    for unit in ("B", "kB", "MB", "GB"):
        if num_bytes < 1000:
            return f"{num_bytes:.0f} {unit}" if unit == "B" else f"{num_bytes:.1f} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.1f} TB"
