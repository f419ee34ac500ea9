"""Layout of WebDataset tars that others made: the members of one key are a sample.

Each tar is unpacked once to a folder of its name. The key of a member is its path up to the first dot of its name, and
what follows says what it is, as in webdataset's `base_plus_ext`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import PurePosixPath

from wavlm.corpus.layouts.globs import compile_glob
from wavlm.corpus.layouts.json_lines import Object, load_object
from wavlm.corpus.layouts.manifests import find_listed
from wavlm.corpus.layouts.names import key_of, normal
from wavlm.corpus.layouts.recording import UNKNOWN_SPEAKER, Recording
from wavlm.corpus.layouts.rows import RowError, to_name, to_text
from wavlm.corpus.layouts.table import read_text, table_fault
from wavlm.corpus.layouts.tree import Tree
from wavlm.specs.containers import WebdatasetLayout

TAR = re.compile(r"(?P<stem>.+)\.(?:tar|tar\.gz|tgz)", re.IGNORECASE)


@dataclass(frozen=True)
class Sample:
    """The members of one key of a tar, as paths, by what follows the key."""

    tar: PurePosixPath
    key: str
    members: dict[str, PurePosixPath]


def find_tars(layout: WebdatasetLayout, tree: Tree) -> list[PurePosixPath]:
    """The tars of a folder. Raises BadDataError (LAYOUT) if there is none."""
    patterns = layout.tars
    if patterns == type(layout).model_fields["tars"].default:
        patterns = tuple(pattern for pattern in patterns if tree.files(pattern)) or patterns
    held = find_listed(tree, layout.valid, "valid")
    return list(dict.fromkeys([*find_listed(tree, patterns, "tars"), *held]))


def read_webdataset(layout: WebdatasetLayout, tree: Tree) -> Iterator[Recording]:
    """Keys are made of the tar and the key of the sample; where it has several audio members, of their names, too."""
    held = [compile_glob(pattern) for pattern in layout.valid]
    audio = set(tree.audio("**/*"))
    for sample in _samples(tree):
        mine = {ending: path for ending, path in sample.members.items() if path in audio}
        if not mine:
            continue
        is_held = any(glob.fullmatch(normal(str(sample.tar))) for glob in held)
        stem = TAR.fullmatch(str(sample.tar))
        for ending, path in mine.items():
            speaker, language, text = _said(layout, tree, sample, ending)
            name = f"{stem['stem'] if stem else sample.tar}/{sample.key}"
            yield Recording(
                key_of(name if len(mine) == 1 else f"{name}/{ending}"),
                path,
                speaker or UNKNOWN_SPEAKER,
                text,
                split="valid" if is_held else "train" if held else None,
                language=language or None,
            )


def _samples(tree: Tree) -> Iterator[Sample]:
    """The samples of all tars, in the order of tar and key. Members without a key or an ending belong to none."""
    found = [item for path in tree.files("**/*") if (item := _split(path)) is not None]
    for (tar, key), members in groupby(sorted(found, key=lambda item: item[:3]), lambda item: item[:2]):
        yield Sample(PurePosixPath(tar), key, {ending: path for _, _, ending, path in members})


def _split(path: PurePosixPath) -> tuple[str, str, str, PurePosixPath] | None:
    """The tar, the key and the ending of an unpacked member; None if it has no key or no ending."""
    depth = next((depth for depth, part in enumerate(path.parts, 1) if TAR.fullmatch(part)), 0)
    stem, dot, ending = path.name.partition(".")
    if not (depth and stem and dot):
        return None
    inner = PurePosixPath(*path.parts[depth:]).parent / stem
    return str(PurePosixPath(*path.parts[:depth])), str(inner), ending.lower(), path


def _beside(sample: Sample, ending: str, kind: str) -> PurePosixPath | None:
    """The member of a kind that belongs to an audio member: `mic.json` to `mic.flac`, otherwise `json`."""
    mine = f"{ending.rpartition('.')[0]}.{kind}"
    return sample.members.get(mine) or sample.members.get(kind)


def _said(layout: WebdatasetLayout, tree: Tree, sample: Sample, ending: str) -> tuple[str, str, str | None]:
    """Speaker, language and text of an audio member. Raises BadDataError (LAYOUT) for a JSON that is none."""
    found: Object = {}
    if path := _beside(sample, ending, "json"):
        try:
            found = load_object(read_text(tree.root / path))
            speaker, language = to_name(found.get(layout.speaker_field)), to_name(found.get(layout.language_field))
            text = None if found.get(layout.text_field) is None else to_text(found[layout.text_field])
        except RowError as error:
            raise table_fault(tree.root / path, 0, str(error), error.advice) from error
    else:
        speaker = language = ""
        text = None
    if text is None and (path := _beside(sample, ending, "txt")):
        text = read_text(tree.root / path).strip()
    return speaker, language, text
