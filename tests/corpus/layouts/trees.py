"""Trees that other tools would write: audio that is never decoded here, and manifests by hand."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import TypeAdapter

from wavlm.corpus.layouts import Reading, read_layout
from wavlm.specs import Layout


def touch(root: Path, *files: str) -> Path:
    """Empty files below a folder. Returns the folder."""
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def write(root: Path, name: str, text: str) -> Path:
    """A text file below a folder. Returns the folder."""
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text, encoding="utf-8")
    return root


def lines(*rows: object) -> str:
    """JSONL."""
    return "".join(f"{json.dumps(row)}\n" for row in rows)


def layout_of(**fields: object) -> Layout:
    """A layout of the fields of a corpus spec."""
    return TypeAdapter(Layout).validate_json(json.dumps(fields))


def read(root: Path, /, **layout: object) -> Reading:
    """What a layout reads, given as in a corpus spec."""
    return read_layout(layout_of(**layout), root)


def rows(reading: Reading) -> list[tuple[object, ...]]:
    """Key, path, region and channel of each recording."""
    return [(item.key, str(item.path), item.start_s, item.end_s, item.channel) for item in reading]


def words(reading: Reading) -> dict[str, tuple[str, str | None, str | None]]:
    """Speaker, language and text by key."""
    return {item.key: (item.speaker, item.language, item.text) for item in reading}
