"""What a file is that may list or hold recordings: known by its first lines, whatever its name is.

Formats: docs/layouts.md. A file that names no audio is no manifest.
"""

from __future__ import annotations

import csv
import tarfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

from wavlm.corpus.layouts.espnet import NAMES as ESPNET_NAMES
from wavlm.corpus.layouts.espnet import PATHS as ESPNET_PATHS
from wavlm.corpus.layouts.json_lines import MAX_LETTERS, load_object
from wavlm.corpus.layouts.kaldi import SCP
from wavlm.corpus.layouts.lhotse import CUTS
from wavlm.corpus.layouts.rows import RowError
from wavlm.corpus.layouts.sounds import AUDIO_SUFFIXES, suffix_of
from wavlm.corpus.layouts.table import read_lines
from wavlm.errors import BadDataError

LINES = 30  # of a file that are looked at
# What columns are called that tables have in public: the first that is there is taken.
ROLES: Mapping[str, tuple[str, ...]] = {
    "path": (
        "path", "audio_path", "wav_path", "audio_filepath", "file_path", "filepath", "file_name", "filename", "file",
        "audio", "wav", "clip", "recording",
    ),
    "start": ("start", "start_s", "start_time", "begin", "start_sec", "offset"),
    "end": ("end", "end_s", "end_time", "stop", "end_sec"),
    "duration": ("duration", "duration_s", "dur"),
    "channel": ("channel",),
    "speaker": ("speaker", "speaker_id", "spk", "spk_id", "client_id", "speaker_name"),
    "language": ("language", "lang", "locale", "language_id"),
    "text": ("text", "sentence", "transcript", "transcription", "normalized_text", "raw_text"),
    "split": ("split", "subset", "partition"),
    "id": ("utt_id", "uttid", "utterance_id", "segment_id"),
}  # fmt: skip


@dataclass(frozen=True)
class Sniffed:
    """A file that lists or holds recordings. `kind`: the type of its layout."""

    path: PurePosixPath  # below the folder
    kind: str
    why: str
    part: str = ""  # of lhotse: recordings, supervisions or cuts
    fields: Mapping[str, str] = field(default_factory=dict)  # of the layout
    audio: tuple[str, ...] = ()  # names of audio in its first lines, as it spells them
    folder: str = ""  # of fairseq: what its first line names, in which the audio is; it is part of `audio`


def sniff(root: Path, path: PurePosixPath) -> Sniffed | None:
    """What a file below a folder is; None if it lists and holds no recordings as far as its first lines tell."""
    ending = ending_of(path)
    try:
        return LOOKS[ending](root, path) if ending else None
    except (BadDataError, RowError):
        return None  # its bytes are no text, or no table


def ending_of(path: PurePosixPath) -> str:
    """The ending of a file's name that says what to look for in it; empty if none does."""
    name = path.name.lower()
    endings = (ending for ending in LOOKS if name.endswith(ending) or name.removesuffix(".gz").endswith(ending))
    return next(endings, "")


def roles_of(names: Sequence[str]) -> dict[str, str]:
    """Columns by what they hold, as their names say."""
    lower = {name.lower(): name for name in reversed(names)}
    found = {role: [lower[known] for known in called if known in lower] for role, called in ROLES.items()}
    taken = {role: columns[0] for role, columns in found.items() if columns}
    if "start" not in taken or "end" in taken:
        taken.pop("duration", None)
    return taken


def _tar(root: Path, path: PurePosixPath) -> Sniffed | None:
    """A tar whose first members have audio among them. Nothing is unpacked."""
    try:
        with tarfile.open(root / path, "r|*") as tar:
            names = [member.name for member in islice(tar, LINES)]
    except (OSError, tarfile.TarError, EOFError, zlib.error):
        return None
    audio = any(suffix_of(name) in AUDIO_SUFFIXES for name in names)
    return Sniffed(path, "webdataset", "tars with audio in them, as WebDataset's") if audio else None


def _first_lines(root: Path, path: PurePosixPath) -> list[str]:
    return [text for _, text in islice(read_lines(root / path, MAX_LETTERS), LINES) if text.strip()]


def _scp(root: Path, path: PurePosixPath) -> Sniffed:
    lines = [line.split(None, 1) for line in _first_lines(root, path)]
    audio = tuple(words[1].strip() for words in lines if len(words) == 2 and "|" not in words[1])
    beside = [name for name in ("segments", "utt2spk", "text") if (root / path.parent / name).exists()]
    why = f"a data directory of Kaldi: {SCP}{' beside ' if beside else ''}{', '.join(beside)}"
    return Sniffed(path, "kaldi", why, audio=audio)


def _json(root: Path, path: PurePosixPath) -> Sniffed | None:
    rows = [load_object(line) for line in _first_lines(root, path)]
    return _objects(path, rows, rows[0]) if rows else None


def _objects(path: PurePosixPath, rows: Sequence[Mapping[str, Any]], first: Mapping[str, Any]) -> Sniffed | None:
    if "audio_filepath" in first or "audio_filename" in first:
        audio = _texts(row.get("audio_filepath", row.get("audio_filename")) for row in rows)
        return Sniffed(path, "nemo", "a NeMo manifest: JSON lines with audio_filepath", audio=audio)
    if part := _lhotse_part(first):
        return Sniffed(path, "lhotse", f"{part} of lhotse", part=part, audio=_lhotse_audio(rows))
    if any(name in first for name in ESPNET_NAMES) and any(name in first for name in ESPNET_PATHS):
        audio = _texts(next((row[name] for name in ESPNET_PATHS if name in row), None) for row in rows)
        return Sniffed(path, "espnet", "a manifest of ESPnet: JSON lines with a name and a path", audio=audio)
    return _table(path, list(first), rows, "JSON lines")


def _lhotse_part(row: Mapping[str, Any]) -> str:
    if row.get("type") in CUTS:
        return "cuts"
    if "recording_id" in row and "start" in row and "duration" in row:
        return "supervisions"
    return "recordings" if "sources" in row and "sampling_rate" in row else ""


def _lhotse_audio(rows: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    recordings = [row.get("recording", row) for row in rows]
    sources = (item for row in recordings if isinstance(row, dict) for item in row.get("sources") or ())
    return _texts(item.get("source") for item in sources if isinstance(item, dict) and item.get("type") == "file")


def _csv(root: Path, path: PurePosixPath) -> Sniffed | None:
    lines = _first_lines(root, path)
    rows = list(csv.reader(lines, delimiter=max(",;", key=lines[0].count))) if lines else [[]]
    return _table(path, rows[0], [dict(zip(rows[0], row, strict=False)) for row in rows[1:]], "a CSV")


def _tsv(root: Path, path: PurePosixPath) -> Sniffed | None:
    """A manifest of fairseq, a table with a header, or one of ESPnet without."""
    rows = [line.split("\t") for line in _first_lines(root, path)]
    head, body = rows[:1], rows[1:]
    if body and len(head[0]) == 1 and all(len(row) == 2 and row[1].isdecimal() for row in body):
        folder = head[0][0].strip()
        audio = tuple(f"{folder}/{row[0]}" for row in body)
        what = "a manifest of fairseq: a folder, then paths and samples"
        return Sniffed(path, "fairseq", what, audio=audio, folder=folder)
    if rows and all(len(row) >= 2 and suffix_of(row[1].strip()) in AUDIO_SUFFIXES for row in rows):
        audio = tuple(row[1] for row in rows)
        return Sniffed(path, "espnet", "a manifest of ESPnet: names and paths with tabs between them", audio=audio)
    return _table(path, head[0], [dict(zip(head[0], row, strict=False)) for row in body], "a TSV") if body else None


def _table(path: PurePosixPath, names: Sequence[str], rows: Sequence[Mapping[str, Any]], what: str) -> Sniffed | None:
    """A table with a column of paths; None if no column has names of audio files in it."""
    roles = roles_of([name.strip("\ufeff ") for name in names])
    column = roles.get("path", "")
    audio = _texts(row.get(column) for row in rows)
    if not audio or not any(suffix_of(name) in AUDIO_SUFFIXES for name in audio):
        return None
    fields = {f"{role}_column": name for role, name in roles.items()}
    return Sniffed(path, "table", f"{what} with the columns {', '.join(roles.values())}", fields=fields, audio=audio)


def _columnar(root: Path, path: PurePosixPath) -> Sniffed | None:
    import pyarrow as pa

    try:
        names, audio, rows = _read_columns(root / path)
    except (OSError, pa.ArrowException, ValueError):
        return None
    if not audio:
        return _table(path, names, rows, "Parquet")
    roles = {role: name for role, name in roles_of(names).items() if role in ("speaker", "language", "text")}
    fields = {f"{role}_column": name for role, name in roles.items()} | {"audio_column": audio[0]}
    return Sniffed(path, "huggingface", f"rows of Hugging Face datasets with audio in {audio[0]}", fields=fields)


def _read_columns(where: Path) -> tuple[list[str], list[str], list[dict[str, Any]]]:
    """The names of all columns, those that hold audio, and the first rows of the others (of Parquet)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if where.suffix == ".parquet":
        with pq.ParquetFile(where) as file:
            schema = file.schema_arrow
            batch = next(file.iter_batches(LINES, columns=_plain(schema)), None)
    else:
        with pa.memory_map(str(where)) as source, pa.ipc.open_stream(source) as stream:
            schema, batch = stream.schema, None
    audio = [item.name for item in schema if pa.types.is_struct(item.type) and item.type.get_field_index("bytes") >= 0]
    return schema.names, audio, batch.to_pylist() if batch is not None else []


def _plain(schema: Any) -> list[str]:
    import pyarrow as pa

    return [item.name for item in schema if not pa.types.is_nested(item.type) and not pa.types.is_binary(item.type)]


def _texts(values: Any) -> tuple[str, ...]:
    return tuple(value for value in values if isinstance(value, str) and value.strip())


# By the ending of a name, packed by gzip or not; in the order in which what was found is told.
LOOKS: Mapping[str, Callable[[Path, PurePosixPath], Sniffed | None]] = {
    SCP: _scp,
    ".jsonl": _json,
    ".json": _json,
    ".ndjson": _json,
    ".tsv": _tsv,
    ".csv": _csv,
    ".parquet": _columnar,
    ".arrow": _columnar,
    ".tar": _tar,
    ".tgz": _tar,
}
