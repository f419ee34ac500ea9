"""Layout of LibriMix: <part>/{mix_clean,s1,s2}/<utterance>_<utterance>.wav, and the turns of its LibriSpeech sources.

Source: `scripts/create_librimix_from_metadata.py` and `scripts/prepare_diarization.py` of github.com/s3prl/LibriMix. It
writes `metadata/mixture_<part>_<mixture>.csv`, whose paths are absolute; of it the column `mixture_ID` is compared with
the files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from wavlm.corpus.layouts.join import Tally
from wavlm.corpus.layouts.listed import in_order
from wavlm.corpus.layouts.manifests import find_listed
from wavlm.corpus.layouts.named_columns import parse_named
from wavlm.corpus.layouts.names import key_of
from wavlm.corpus.layouts.recording import UNKNOWN_SPEAKER, Recording
from wavlm.corpus.layouts.rows import to_text
from wavlm.corpus.layouts.rttm import Turn, read_turns
from wavlm.corpus.layouts.table import table_fault
from wavlm.corpus.layouts.target import make_target
from wavlm.corpus.layouts.tree import Tree
from wavlm.errors import BadDataError
from wavlm.specs.superb_generation import LibrimixLayout
from wavlm.storage.encoding import printable

_SOURCE = re.compile(r"(?P<speaker>[0-9]+)-(?P<chapter>[0-9]+)-(?P<number>[0-9]+)")
Turns = Mapping[str, Sequence[Turn]]  # of the utterances `<chapter>-<number>`


def read_librimix(layout: LibrimixLayout, tree: Tree) -> Iterator[Recording]:
    """Keys are `<part>__<folder>__<name>`.

    Raises BadDataError (LAYOUT) for a mixture without its sources, or without turns if RTTM files are named.
    """
    above = f"{layout.root}/".lstrip("/")
    paths = tree.audio(f"{above}*/{layout.mixture}/*.wav", scope=f"{above}*/{layout.mixture}/**")
    if not paths:
        raise BadDataError(
            "LAYOUT",
            f"no recording <part>/{layout.mixture}/<id>.wav in {layout.root or '.'}; in {printable(str(tree.root))}; "
            "correct root of the layout in the corpus spec",
        )
    sources = dict.fromkeys(tree.audio(f"{above}*/s[123]/*.wav", scope=f"{above}*/s[123]/**"))
    turns = read_turns(tree, find_listed(tree, layout.rttm, "rttm")) if layout.rttm else None
    for part in sorted({path.parts[-3] for path in paths}):
        _check_list(layout, tree, part, {path.stem for path in paths if path.parts[-3] == part})
    yield from in_order(item for path in paths for item in _read(layout, tree, path, sources, turns))


def _read(
    layout: LibrimixLayout,
    tree: Tree,
    path: PurePosixPath,
    sources: Mapping[PurePosixPath, None],
    turns: Turns | None,
) -> Iterator[Recording]:
    """The mixture, and its sources."""
    names = [_SOURCE.fullmatch(name) for name in path.stem.split("_")]
    found = [name for name in names if name]
    if len(found) < len(names) or len(names) < 2:
        raise BadDataError(
            "LAYOUT",
            f"found {printable(path.name)}, expected <speaker>-<chapter>-<number> of each source; at "
            f"{printable(str(tree.root / path))}; check the layout in the corpus spec",
        )
    spoken = found[:1] if layout.mixture == "mix_single" else found
    part, keys = path.parts[-3], list[str]()
    for number, source in enumerate(spoken, 1):
        where = path.parent.parent / f"s{number}" / path.name
        if where not in sources:
            raise BadDataError(
                "LAYOUT",
                f"the mixture {printable(str(path))} has no source {printable(str(where))}; in "
                f"{printable(str(tree.root))}; make the mixtures again",
            )
        keys.append(key_of(f"{part}/s{number}/{path.stem}"))
        yield Recording(keys[-1], where, source["speaker"], part=part)
    target = make_target(sources=keys, turns=None if turns is None else _mixed(tree, path, spoken, turns))
    yield Recording(key_of(f"{part}/{layout.mixture}/{path.stem}"), path, UNKNOWN_SPEAKER, part=part, target=target)


def _mixed(tree: Tree, path: PurePosixPath, sources: Sequence[re.Match[str]], turns: Turns) -> list[Turn]:
    """The turns of all sources. Each begins with the mixture, and the RTTM file says when it is silent."""
    mixed: list[Turn] = []
    for source in sources:
        name = f"{source['chapter']}-{source['number']}"
        if name not in turns:
            raise BadDataError(
                "LAYOUT",
                f"no RTTM file names {name}, a source of {printable(str(path))}; in {printable(str(tree.root))}; name "
                "those of its part of LibriSpeech in rttm of the layout in the corpus spec",
            )
        mixed += turns[name]
    return sorted(mixed)


def _check_list(layout: LibrimixLayout, tree: Tree, part: str, names: set[str]) -> None:
    """Check that the files of a part are those that its list names, if there is a list."""
    where = tree.spelled(str(PurePosixPath(layout.root, "metadata", f"mixture_{part}_{layout.mixture}.csv")))
    if where is None:
        return
    tally = Tally(str(where))
    listed = set(parse_named(tree.root / where, ["mixture_ID"], lambda _, cells: (to_text(cells["mixture_ID"]),)))
    for number, name in enumerate(sorted(listed), 2):
        tally.add("path" if name in names else "left over", name, number)
    if odd := sorted(listed ^ names):
        what = f"{len(odd)} mixtures are only in the list or only in the folder, such as {printable(odd[0])}"
        raise table_fault(tree.root / where, 0, what, "make the mixtures again")
    tree.tables.append(tally.account(0))
