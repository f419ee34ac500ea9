"""Layout of ESPnet: data directories as Kaldi's, and the TSV and JSONL manifests of ESPnet3.

A TSV has no header: the name of the utterance, the path, and the text, which may be missing. A JSONL has the same under
the names that recipes use.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from wavlm.corpus.layouts.json_lines import Object, parse_json_lines
from wavlm.corpus.layouts.kaldi import SCP, read_directory, with_scp
from wavlm.corpus.layouts.manifests import Listing, find_manifests
from wavlm.corpus.layouts.recording import Recording
from wavlm.corpus.layouts.rows import Entry, RowError, parse_rows, to_name, to_text
from wavlm.corpus.layouts.table import read_lines
from wavlm.corpus.layouts.tree import Tree
from wavlm.specs.manifests import EspnetLayout

NAMES = ("utt_id", "uttid", "id", "key")
PATHS = ("wav_path", "audio_path", "speech", "wav", "audio", "path")
SPEAKERS = ("speaker", "spk", "speaker_id")
LANGUAGES = ("lang", "language")


def read_espnet(layout: EspnetLayout, tree: Tree) -> Iterator[Recording]:
    """Keys are the names of the utterances."""
    manifests = find_manifests(with_scp(layout, tree.root), tree)
    listing = Listing(tree, layout.max_left_over_rows, layout.audio_root)
    for manifest in manifests:
        if manifest.path.name == SCP:
            read_directory(layout, tree, listing, manifest)
        else:
            listing.take(manifest, _rows(tree.root / manifest.path))
    yield from listing.recordings()


def _rows(path: Path) -> Iterable[Entry]:
    if ".tsv" in path.suffixes:
        lines = ((line, text) for line, text in read_lines(path) if text.strip())
        return parse_rows(path, lines, _of_line)
    return parse_json_lines(path, _of_object)


def _of_line(line: int, text: str) -> Iterable[Entry]:
    fields = text.split("\t", 2)
    if len(fields) < 2 or not fields[0].strip():
        raise RowError("expected an utterance, a path and a text with tabs between them", "see the layout espnet")
    yield Entry(line, fields[1], fields[0].strip(), text=fields[2] if len(fields) == 3 else None)


def _of_object(line: int, row: Object) -> Iterable[Entry]:
    audio = _first(row, PATHS)
    if not isinstance(audio, str):
        raise RowError(f"no path ({', '.join(PATHS)})", "name the audio of each row")
    text = _first(row, ("text",))
    yield Entry(
        line=line,
        audio=audio,
        name=to_text(_first(row, NAMES)).strip(),
        speaker=to_name(_first(row, SPEAKERS)),
        language=to_name(_first(row, LANGUAGES)),
        text=None if text is None else to_text(text),
    )


def _first(row: Object, names: Iterable[str]) -> object:
    """The value of the first of these names that the row has."""
    return next((row[name] for name in names if row.get(name) is not None), None)
