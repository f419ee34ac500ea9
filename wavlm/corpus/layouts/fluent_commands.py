"""Layout of Fluent Speech Commands: data/<part>_data.csv, wavs/speakers/<speaker>/<recording>.wav.

Columns: `path`, `speakerId`, `transcription`, `action`, `object`, `location` (readme.md of the archive, and
`s3prl/downstream/fluent_commands`). An intent is the three last ones together; `none` is a value as others are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from wavlm.corpus.layouts.join import Tally
from wavlm.corpus.layouts.listed import Lost, find_list, in_order
from wavlm.corpus.layouts.named_columns import Cells, parse_named
from wavlm.corpus.layouts.names import key_of
from wavlm.corpus.layouts.recording import Recording
from wavlm.corpus.layouts.rows import to_name, to_text
from wavlm.corpus.layouts.target import make_target
from wavlm.corpus.layouts.tree import Tree
from wavlm.specs.superb import FluentCommandsLayout

PARTS = ("train", "valid", "test")
SLOTS = ("action", "object", "location")
COLUMNS = ("path", "speakerId", "transcription", *SLOTS)


def read_fluent_commands(layout: FluentCommandsLayout, tree: Tree) -> Iterator[Recording]:
    """Keys are made of partition, speaker and file name.

    Raises BadDataError: LAYOUT for a table that is not there or says nothing usable, TABLE_JOIN if more rows than the
    bound allows have no audio.
    """
    tree.audio(f"{layout.root}/wavs/**/*.wav".lstrip("/"))
    yield from in_order(item for part in PARTS for item in _read(layout, tree, part))


def _read(layout: FluentCommandsLayout, tree: Tree, part: str) -> list[Recording]:
    where = find_list(tree, layout.root, "data", f"{part}_data.csv")
    lost = Lost(tree, Tally(str(where)))

    def parse(line: int, cells: Cells) -> Iterable[Recording]:
        path = PurePosixPath(layout.root, to_text(cells["path"]).strip())
        intent = {slot: to_name(cells[slot]) for slot in SLOTS}
        target = make_target(intent=intent)  # an empty slot is a bad line, also where there is no audio
        if not lost.keep(path, line):
            return
        speaker = to_name(cells["speakerId"])
        text = to_text(cells["transcription"])
        yield Recording(key_of(f"{part}/{speaker}/{path.stem}"), path, speaker, text, part=part, target=target)

    found = list(parse_named(tree.root / where, COLUMNS, parse))
    lost.check(layout.max_left_over_rows)
    return found
