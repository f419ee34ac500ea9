"""Layout of NeMo manifests: JSONL with one utterance per line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from wavlm.corpus.layouts.json_lines import Object, parse_json_lines
from wavlm.corpus.layouts.manifests import read_listed
from wavlm.corpus.layouts.recording import Recording
from wavlm.corpus.layouts.rows import Entry, RowError, to_channel, to_name, to_seconds, to_text
from wavlm.corpus.layouts.tree import Tree
from wavlm.specs.manifests import NemoLayout


def read_nemo(layout: NemoLayout, tree: Tree) -> Iterator[Recording]:
    """Keys are made of the paths, and of the times where a row has an offset."""
    yield from read_listed(layout, tree, _rows)


def _rows(path: Path) -> Iterable[Entry]:
    return parse_json_lines(path, _entries)


def _entries(line: int, row: Object) -> Iterable[Entry]:
    audio = row.get("audio_filepath", row.get("audio_filename"))
    if isinstance(audio, list):
        raise RowError("audio_filepath lists several files", "give each file a row of its own")
    if not isinstance(audio, str):
        raise RowError("no audio_filepath", "name the audio of each row")
    if "shard_id" in row:
        raise RowError("the audio lies in a tar (shard_id)", "read the tars with the layout webdataset")
    start, end = _region(row)
    yield Entry(
        line=line,
        audio=audio,
        start_s=start,
        end_s=end,
        channel=to_channel(row.get("channel_selector"), first=0),
        speaker=to_name(row.get("speaker")),
        language=to_name(row.get("lang", row.get("language"))),
        text=to_text(row["text"]) if row.get("text") is not None else None,
    )


def _region(row: Object) -> tuple[float | None, float | None]:
    """Start and end in seconds. Without an offset the row is the whole file, of which `duration` is the length."""
    offset, duration = to_seconds(row.get("offset"), "offset"), to_seconds(row.get("duration"), "duration")
    if offset is None:
        return None, None
    return offset, None if duration is None else offset + duration
