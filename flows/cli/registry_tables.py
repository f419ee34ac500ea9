"""What the registry holds, as tables and as JSON. Names and tags are others' text: nothing in them is markup."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.table import Column, Table
from rich.text import Text

from flows.cli import console
from wavlm.storage.encoding import printable

if TYPE_CHECKING:
    from tasks.registry.compare import Comparison, Difference
    from tasks.registry.versions import RegisteredModel, Version

VERDICT_TAG = "wavlm.gate"
START_TAG = "start.version"
HISTORY_METRICS = ("valid/loss", "valid/masked_accuracy", "probe/pnmi")


def print_json(value: object) -> None:
    """Print a value as JSON, in ASCII, so that any terminal and any program can take it."""
    console.out.print(json.dumps(value, indent=2, sort_keys=True), markup=False, highlight=False, soft_wrap=True)


def version_of(version: Version) -> dict[str, Any]:
    """A version as JSON."""
    made = datetime.fromtimestamp(version.created_unix, UTC).isoformat(timespec="seconds")
    metrics = {name: value if math.isfinite(value) else str(value) for name, value in version.metrics.items()}
    return {**asdict(version), "metrics": metrics, "reference": version.reference, "created": made}


def model_of(model: RegisteredModel) -> dict[str, Any]:
    """A registered model with its versions as JSON."""
    return {"name": model.name, "uri": model.uri, "versions": [version_of(item) for item in model.versions]}


def comparison_of(found: Comparison) -> dict[str, Any]:
    """A comparison as JSON."""
    return {
        "first": version_of(found.first),
        "second": version_of(found.second),
        "metrics": [{**asdict(row), "change": row.change} for row in found.metrics],
        "settings": [asdict(item) for item in found.settings],
        "lineage": [asdict(item) for item in found.lineage],
    }


def print_rows(title: str, rows: Sequence[Mapping[str, str]]) -> None:
    """A table under its title, with a column for each that a row has."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    _print(columns, ([row.get(name, "") for name in columns] for row in rows), title=title)


def print_versions(versions: Sequence[Version]) -> None:
    """One row per version."""
    rows = (
        (item.name, str(item.version), ", ".join(item.aliases), str(item.iteration or ""), _made(item))
        for item in versions
    )
    _print(("model", "version", "aliases", "iteration", "made"), rows)


def print_version(version: Version) -> None:
    """Figures, lineage and tags of one version."""
    aliases = f" ({', '.join(version.aliases)})" if version.aliases else ""
    rows = [(name, f"{value:.6g}") for name, value in sorted(version.metrics.items())]
    lineage = {name: key for name, key in version.lineage.items() if name not in version.tags}
    rows += sorted({**version.tags, **lineage}.items())
    _print(("", ""), [*rows, ("source", version.source)], title=f"{version.reference}{aliases}", has_header=False)


def print_history(versions: Sequence[Version]) -> None:
    """One row per version, oldest first, with what the gate said."""
    is_one = len({item.name for item in versions}) == 1
    rows = (
        (
            str(item.version) if is_one else item.reference,
            _made(item),
            item.tags.get("wavlm.recipe", ""),
            str(item.iteration or ""),
            item.tags.get(START_TAG, ""),
            ", ".join(item.aliases),
            *(_figure(item.metrics.get(name)) for name in HISTORY_METRICS),
            item.tags.get(VERDICT_TAG, ""),
        )
        for item in versions
    )
    _print(("version", "made", "recipe", "iteration", "from", "aliases", *HISTORY_METRICS, "champion"), rows)


def print_comparison(found: Comparison) -> None:
    """Figures side by side, then what differs."""
    names = found.first.reference, found.second.reference
    rows = (
        (row.name, _figure(row.first), _figure(row.second), _figure(row.change, sign="+"), row.note)
        for row in found.metrics
    )
    _print(("metric", *names, "change", "remarks"), rows)
    for title, differences in (("settings that differ", found.settings), ("lineage that differs", found.lineage)):
        _print((title, *names), _texts(differences), empty=f"{title}: none")


def _texts(differences: Iterable[Difference]) -> list[tuple[str, str, str]]:
    return [(item.name, item.first or "-", item.second or "-") for item in differences]


def _figure(value: float | None, sign: str = "") -> str:
    return "" if value is None else f"{value:{sign}.6g}"


def _made(version: Version) -> str:
    return f"{datetime.fromtimestamp(version.created_unix, UTC).astimezone():%Y-%m-%d %H:%M}"


def _print(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    title: str = "",
    empty: str = "",
    has_header: bool = True,
) -> None:
    headers = (Column(_text(name)) for name in columns)
    table = Table(*headers, title=_text(title) if title else None, box=None, show_header=has_header)
    table.title_justify = "left"
    for row in rows:
        table.add_row(*map(_text, row))
    if empty and not table.row_count:
        console.out.print(empty, "", sep="\n", highlight=False)
        return
    console.out.print(table, "")


def _text(text: str) -> Text:
    return Text(printable(text))
