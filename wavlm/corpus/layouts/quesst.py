"""Layout of QUESST 2014: utterances, spoken queries of two sets, and the ground truth.

`scoring/language_key_{utterances,dev,eval}.lst` have lines `<path> <language>`, whose paths begin with the name of the
database's folder. `scoring/groundtruth_quesst14_{dev,eval}/quesst14_{dev,eval}.rttm` have a line
`LEXEME <utterance> ... <query> ...` for each utterance that holds a query. Source: `s3prl/downstream/quesst14_dtw` and
`quesst14_embedding`, which parse these files; the database itself was not at hand.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from pathlib import PurePosixPath

from wavlm.corpus.layouts.join import Tally
from wavlm.corpus.layouts.listed import Lost, find_list, in_order
from wavlm.corpus.layouts.names import key_of
from wavlm.corpus.layouts.recording import UNKNOWN_SPEAKER, Recording
from wavlm.corpus.layouts.rows import RowError, parse_rows, to_name
from wavlm.corpus.layouts.table import read_lines, shorten, table_fault
from wavlm.corpus.layouts.tree import Tree
from wavlm.corpus.layouts.trial import Trial
from wavlm.specs.superb import QuesstLayout

UTTERANCES, QUERIES = "utterances", ("dev", "eval")
_ANSWER = re.compile(r"LEXEME\s+(?P<utterance>quesst14_[0-9]+)\s.*?(?P<query>quesst14_(?:dev|eval)_[0-9]+)(?:\s|$)")


def read_quesst(layout: QuesstLayout, tree: Tree) -> Iterator[Recording]:
    """Keys are the file names. Raises BadDataError: LAYOUT for lists, TABLE_JOIN for audio that is not there."""
    above = f"{layout.root}/".lstrip("/")
    for folder in ("Audio", "dev_queries", "eval_queries"):
        tree.audio(f"{above}{folder}/*.wav")
    yield from in_order(item for part in (UTTERANCES, *QUERIES) for item in _read_list(layout, tree, part))


def read_quesst_trials(layout: QuesstLayout, tree: Tree, keys: Container[str]) -> Iterator[Trial]:
    """Each query with each utterance, list by list. Raises BadDataError (LAYOUT) for a ground truth without answers."""
    utterances = [item.key for item in _read_list(layout, tree, UTTERANCES, counts=False) if item.key in keys]
    for part in QUERIES:
        answers = _read_answers(layout, tree, part)
        for query in _read_list(layout, tree, part, counts=False):
            for utterance in utterances:
                yield Trial(part, query.key, utterance, (query.key, utterance) in answers)


def _read_list(layout: QuesstLayout, tree: Tree, part: str, *, counts: bool = True) -> list[Recording]:
    """The recordings of a list. `counts`: whether its account goes to the tree."""
    where = find_list(tree, layout.root, "scoring", f"language_key_{part}.lst")
    lost = Lost(tree, Tally(str(where)))

    def take(line: int, text: str) -> Iterator[Recording]:
        cells = text.split()
        if len(cells) != 2 or "/" not in cells[0]:
            raise RowError(f"found {shorten(text)}", "expected <database>/<folder>/<file> and a language")
        if layout.languages and cells[1] not in layout.languages:
            return
        path = PurePosixPath(layout.root, *PurePosixPath(cells[0]).parts[1:])
        if lost.keep(path, line):
            yield Recording(key_of(path.stem), path, UNKNOWN_SPEAKER, language=to_name(cells[1]), part=part)

    lines = ((number, line) for number, line in read_lines(tree.root / where) if line.strip())
    found = list(parse_rows(tree.root / where, lines, take))
    if not found:
        known = ", ".join(layout.languages) or "any"
        raise table_fault(
            tree.root / where, 0, f"no recording of the languages {known}", "correct languages in the spec"
        )
    if counts:
        lost.check(0.0)
    return found


def _read_answers(layout: QuesstLayout, tree: Tree, part: str) -> set[tuple[str, str]]:
    """Pairs of query and utterance that go together, in all languages."""
    where = find_list(tree, layout.root, "scoring", f"groundtruth_quesst14_{part}", f"quesst14_{part}.rttm")
    tally, found = Tally(str(where)), set[tuple[str, str]]()
    for number, line in read_lines(tree.root / where):
        if (answer := _ANSWER.match(line)) is not None:
            found.add((key_of(answer["query"]), key_of(answer["utterance"])))
            tally.add("path", answer["query"], number)
    if not found:
        raise table_fault(
            tree.root / where, 0, "no line LEXEME <utterance> ... <query>", "fetch the ground truth again"
        )
    tree.tables.append(tally.account(0))
    return found
