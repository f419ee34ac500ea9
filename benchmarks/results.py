"""The figures on disk: one JSON line each, and the table of docs/performance.md made of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.harness import ROOT, Claim, Figure, number
from wavlm.storage.files import write_text

RESULTS = ROOT / "benchmarks/results.jsonl"
DOCUMENT = ROOT / "docs/performance.md"
BEGIN, END = "<!-- figures: written by `make bench` -->", "<!-- end of figures -->"
HEADER = ("figure", "value", "goal", "met", "against", "commit", "note")
NO_GPU = "not measured: no GPU at hand"


def read(path: Path = RESULTS) -> list[Figure]:
    """All figures of a file, none if it does not exist."""
    if not path.exists():
        return []
    return [Figure(**json.loads(line)) for line in path.read_text().splitlines() if line]


def merge_figures(old: Iterable[Figure], new: Iterable[Figure]) -> list[Figure]:
    """Old figures, each replaced by the newest one of its name and device; new names at the end.

    A figure that was only skipped replaces no measured one.
    """
    found = {(figure.name, figure.device): figure for figure in old}
    for figure in new:
        before = found.get((figure.name, figure.device))
        if figure.value is not None or before is None or before.value is None:
            found[figure.name, figure.device] = figure
    return list(found.values())


def write(figures: Iterable[Figure], path: Path = RESULTS) -> None:
    """One JSON line for each figure."""
    write_text(path, "".join(json.dumps(asdict(figure)) + "\n" for figure in figures))


def tables(figures: Sequence[Figure], claims: Sequence[Claim]) -> str:
    """A Markdown table for each device, in the order of the claims; a GPU always has one."""
    devices = sorted({figure.device for figure in figures}, key=_gpus_last)
    parts = [
        f"### On {device}\n\n" + _table([figure for figure in figures if figure.device == device], claims)
        for device in devices
    ]
    if not any(_gpus_last(device)[0] for device in devices):
        rows = [
            (claim.name, "", claim.cuda or "", "", claim.peer, "", NO_GPU)
            for claim in claims
            if "cuda" in claim.devices
        ]
        parts.append("### On a GPU\n\n" + _markdown(rows))
    return "\n\n".join(parts)


def replace_table(document: str, new_table: str) -> str:
    """The document with another table between its markers. Raises ValueError without markers."""
    if document.count(BEGIN) != 1 or document.count(END) != 1:
        raise ValueError(f"expected one {BEGIN!r} and one {END!r} in the document")
    before, rest = document.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{new_table}\n{END}{after}"


def _gpus_last(device: str) -> tuple[bool, str]:
    return not device.startswith("cpu"), device


def _table(figures: Sequence[Figure], claims: Sequence[Claim]) -> str:
    order = {claim.name: number for number, claim in enumerate(claims)}
    known = sorted(figures, key=lambda figure: order.get(figure.name, len(order)))
    return _markdown([_row(figure) for figure in known])


def _markdown(rows: Sequence[tuple[str, ...]]) -> str:
    lines = [HEADER, ("---",) * len(HEADER), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _row(figure: Figure) -> tuple[str, ...]:
    value = "" if figure.value is None else f"{number(figure.value)} {figure.unit}".strip()
    reached = "" if figure.met is None else "yes" if figure.met else "**no**"
    cells = (figure.goal or "", reached, figure.peer, figure.commit, figure.note)
    return (figure.name, value, *(cell.replace("|", "/") for cell in cells))
