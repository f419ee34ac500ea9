"""Layout of VoxCeleb1 and 2: <speaker>/<video>/<number>.wav (2: .m4a), the split for identification, lists of trials.

Lines of iden_split.txt: `<1 train, 2 dev, 3 test> <speaker>/<video>/<number>.wav`. Lines of trials:
`<1 or 0> <path> <path>`. Source: https://www.robots.ox.ac.uk/~vgg/data/voxceleb/vox1.html.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from pathlib import PurePosixPath

from wavlm.corpus.layouts.join import Tally
from wavlm.corpus.layouts.listed import find_list
from wavlm.corpus.layouts.manifests import check_listed
from wavlm.corpus.layouts.names import key_of
from wavlm.corpus.layouts.recording import Recording
from wavlm.corpus.layouts.rows import RowError, parse_rows
from wavlm.corpus.layouts.table import read_lines, shorten
from wavlm.corpus.layouts.tree import Tree
from wavlm.corpus.layouts.trial import Trial, read_trial_lines, require_recording, to_answer
from wavlm.errors import BadDataError
from wavlm.specs.superb import VoxcelebLayout
from wavlm.storage.encoding import printable

PARTS = {"1": "train", "2": "dev", "3": "test"}
FOLDERS = ("dev", "test")  # of the publisher's archives
LISTS = {
    "veri_test": "vox1-o",
    "voxceleb1_test_v2": "vox1-o",
    "list_test_all": "vox1-e",
    "list_test_hard": "vox1-h",
    "veri_test2": "vox1-o-cleaned",
    "list_test_all2": "vox1-e-cleaned",
    "list_test_hard2": "vox1-h-cleaned",
}
_NAME = re.compile(r"(?P<speaker>id[0-9]{5})/[^/]+/[0-9]+\.[a-z0-9]+")


def read_voxceleb(layout: VoxcelebLayout, tree: Tree) -> Iterator[Recording]:
    """Keys are made of `<speaker>/<video>/<number>`.

    Raises BadDataError: LAYOUT for a list that is not there or says nothing usable, TABLE_JOIN if more rows than the
    bound allows have no audio.
    """
    paths = _find_audio(tree)
    parts = _read_split(layout, tree, paths) if layout.partition == "identification" else {}
    for name, path in sorted(paths.items(), key=lambda item: str(item[1])):
        part = _part(layout, tree, path, parts.get(name))
        if part is None:
            tree.leave([path], "no-row")
            continue
        yield Recording(_key(name), path, path.parts[-3], part=part)


def read_voxceleb_trials(layout: VoxcelebLayout, tree: Tree, keys: Container[str]) -> Iterator[Trial]:
    """The pairs of the lists that the layout names. Raises BadDataError (LAYOUT) for one that has no recording."""
    for listed in layout.trials:
        where = find_list(tree, listed)

        def parse(_line: int, text: str, name: str = LISTS.get(where.stem, where.stem)) -> Trial:
            cells = text.split()
            if len(cells) != 3:
                raise RowError(f"{len(cells)} fields: {shorten(text)}", "expected 1 or 0, and two recordings")
            enrol, test = (require_recording(_key(cell), cell, keys) for cell in cells[1:])
            return Trial(name, enrol, test, to_answer(cells[0]))

        yield from read_trial_lines(tree, where, parse)


def _find_audio(tree: Tree) -> dict[str, PurePosixPath]:
    """Recordings by the name that lists give them. Raises BadDataError (LAYOUT) if two have one."""
    paths: dict[str, PurePosixPath] = {}
    for path in tree.audio("**/id?????/*/*.*"):
        name = _name(path)
        if _NAME.fullmatch(name) and paths.setdefault(name, path) != path:
            raise BadDataError(
                "LAYOUT",
                f"{printable(str(paths[name]))} and {printable(str(path))} are one recording of the lists; in "
                f"{printable(str(tree.root))}; keep one copy of the corpus there",
            )
    return paths


def _name(path: PurePosixPath) -> str:
    return "/".join(path.parts[-3:])


def _key(name: str) -> str:
    """Lists say .wav also where the audio was packed otherwise."""
    return key_of(name.rpartition(".")[0] or name)


def _part(layout: VoxcelebLayout, tree: Tree, path: PurePosixPath, listed: str | None) -> str | None:
    """The partition of a recording; None: the split does not name it. `listed`: where the split puts it."""
    if layout.partition == "training":
        return "train"
    return listed if layout.partition == "identification" else _folder(tree, path)


def _folder(tree: Tree, path: PurePosixPath) -> str:
    found = [part for part in path.parts[:-3] if part in FOLDERS]
    if len(found) != 1:
        raise BadDataError(
            "LAYOUT",
            f"{printable(str(path))} lies in neither of the folders {' and '.join(FOLDERS)}; in "
            f"{printable(str(tree.root))}; unpack each archive into the folder of its name",
        )
    return found[0]


def _read_split(layout: VoxcelebLayout, tree: Tree, paths: Container[str]) -> dict[str, str]:
    """The partition of each recording that the split names."""
    where = find_list(tree, layout.identification)
    tally = Tally(str(where))

    def take(line: int, text: str) -> Iterator[tuple[str, str]]:
        number, _, name = text.strip().partition(" ")
        if number not in PARTS or not _NAME.fullmatch(name.strip()):
            raise RowError(f"found {shorten(text)}", "expected 1, 2 or 3, and <speaker>/<video>/<number>.wav")
        tally.add("path" if name.strip() in paths else "left over", name, line)
        yield name.strip(), PARTS[number]

    lines = ((number, line) for number, line in read_lines(tree.root / where) if line.strip())
    found = dict(parse_rows(tree.root / where, lines, take))
    tree.tables.append(check_listed(tree.root / where, tally.account(0), layout.max_left_over_rows))
    return found
