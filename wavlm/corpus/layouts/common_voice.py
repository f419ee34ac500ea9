"""Layout of one language of Common Voice: clips, and a TSV per partition.

Columns: `client_id`, `path`, `sentence`, and `accent` (from release 8.0 on `accents`). Texts are as they are
published: SUPERB's normalization is a matter of the task.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from wavlm.corpus.layouts.join import Tally
from wavlm.corpus.layouts.listed import Lost, find_list, in_order
from wavlm.corpus.layouts.names import key_of
from wavlm.corpus.layouts.recording import Recording
from wavlm.corpus.layouts.rows import RowError, parse_rows, refuse_audio, to_name
from wavlm.corpus.layouts.table import read_table
from wavlm.corpus.layouts.tree import Tree
from wavlm.specs.superb_generation import CommonVoiceLayout

PARTS = ("train", "dev", "test")
COLUMNS = ("path", "client_id", "sentence")


def read_common_voice(layout: CommonVoiceLayout, tree: Tree) -> Iterator[Recording]:
    """Keys are the file names.

    Raises BadDataError: LAYOUT for a table that is not there or says nothing usable, TABLE_JOIN if more rows than the
    bound allows have no audio.
    """
    tree.audio(f"{layout.root}/clips/*".lstrip("/"))
    yield from in_order(item for part in PARTS for item in _read(layout, tree, part))


def _read(layout: CommonVoiceLayout, tree: Tree, part: str) -> list[Recording]:
    where = find_list(tree, layout.root, f"{part}.tsv")
    lost = Lost(tree, Tally(str(where)))
    columns = (*COLUMNS, layout.accent_column) if layout.accent else COLUMNS

    def take(line: int, cells: tuple[str, ...]) -> Iterator[Recording]:
        name, speaker, text, *accent = cells
        if accent and accent[0] != layout.accent:
            return
        refuse_audio(name)
        if "/" in name:
            raise RowError(f"a path of several folders: {name}", "expected the name of a file of clips")
        path = PurePosixPath(layout.root, "clips", name)
        if lost.keep(path, line):
            yield Recording(key_of(path.stem), path, to_name(speaker), text, part=part)

    rows = ((row.line, row.values) for row in read_table(tree.root / where, columns))
    found = list(parse_rows(tree.root / where, rows, take))
    lost.check(layout.max_left_over_rows)
    return found
