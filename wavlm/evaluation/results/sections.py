"""The results of a suite as a section of a text that is there already: of a card in Markdown, of a page in HTML.

Comments that both languages have mark where a section begins and ends, so that newer results replace older ones.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path

from wavlm.evaluation.results.board import NO_CLAIMS, Board, Row, notes_of, rows_of, synthetic_rows_of
from wavlm.evaluation.results.facts import EvaluationFacts
from wavlm.evaluation.results.layers import describe_centres
from wavlm.evaluation.results.published_tables import columns_of, to_markdown

SUMMARY = "What each column is, and what to know of its figures"
END_OF_PAGE = "</main>"  # of the report page: sections stand before it
_SECTION = re.compile(r"<!-- suite (?P<name>\S+) -->.*?<!-- end of suite (?P=name) -->\n", re.DOTALL)


def card_section(suite: str, board: Board, own: Sequence[EvaluationFacts]) -> str:
    """As Markdown: the tables, around which layers the heads are centred, and what a reader has to know."""
    tables = [to_markdown(title, rows) for title, rows in _tables(suite, board)]
    notes = "\n".join(f"- {note}" for note in notes_of(board))
    details = f"<details><summary>{SUMMARY}</summary>\n\n{notes}\n\n</details>"
    parts = [f"## Results of the suite {suite}", *tables, _centres(own), details]
    return "\n\n".join(part.strip() for part in parts if part)


def page_section(suite: str, board: Board, own: Sequence[EvaluationFacts], plot: Path | None) -> str:
    """As HTML, with the heat map of the layers in it. plot: a PNG."""
    tables = [_to_html(title, rows) for title, rows in _tables(suite, board)]
    notes = "\n".join(f"<li>{escape(note)}</li>" for note in notes_of(board))
    centres, picture = escape(_centres(own)), ""
    if plot is not None:
        data = base64.b64encode(plot.read_bytes()).decode()
        picture = f'<p><img src="data:image/png;base64,{data}" alt="{centres}" style="max-width: 100%"></p>'
    parts = [
        f'<section id="suite-{escape(suite)}">',
        f"<h2>Results of the suite {escape(suite)}</h2>",
        *tables,
        picture,
        f"<p>{centres}</p>" if centres else "",
        f'<details><summary>{SUMMARY}</summary>\n<ul class="plain">\n{notes}\n</ul></details>',
        "</section>",
    ]
    return "\n".join(part for part in parts if part)


def put_section(text: str, suite: str, section: str) -> str:
    """The text with the section of a suite: in the place of an older one, before the end of a page, or at the end."""
    marked = f"<!-- suite {suite} -->\n{section}\n<!-- end of suite {suite} -->\n"
    for found in _SECTION.finditer(text):
        if found["name"] == suite:
            return text[: found.start()] + marked + text[found.end() :]
    if END_OF_PAGE in text:
        before, _, after = text.rpartition(END_OF_PAGE)
        return f"{before}{marked}{END_OF_PAGE}{after}"
    return f"{text.rstrip()}\n\n{marked}"


def carry_sections(old: str, new: str, without: str) -> str:
    """A text that was made anew, with the sections of the old one but that of one suite, which it has itself."""
    for found in _SECTION.finditer(old):
        if found["name"] != without:
            section = found[0].split("\n", 1)[1].rsplit("\n", 2)[0]
            new = put_section(new, found["name"], section)
    return new


def _tables(suite: str, board: Board) -> list[tuple[str, list[Row]]]:
    tables = ((suite, rows_of(board)), (f"{suite} {NO_CLAIMS}", synthetic_rows_of(board)))
    return [(title, rows) for title, rows in tables if rows]


def _centres(own: Sequence[EvaluationFacts]) -> str:
    return describe_centres(own, own[0].subject) if own else ""


def _to_html(title: str, rows: Sequence[Row]) -> str:
    columns = columns_of(rows)
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in columns)
    lines = ("".join(f"<td>{escape(row.get(name, ''))}</td>" for name in columns) for row in rows)
    body = "\n".join(f"<tr>{line}</tr>" for line in lines)
    return (
        f"<table><caption>{escape(title)}</caption>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table>"
    )
