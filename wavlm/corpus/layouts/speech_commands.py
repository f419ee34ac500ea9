"""Layout of Speech Commands: <word>/<voice>_nohash_<number>.wav, lists of the validation and the testing set.

The test set archive has the twelve classes of the benchmark as folders. Sources: README.md of the archives, and
`s3prl/downstream/speech_commands`, whose split by hashes of voices gives the lists.
"""

from __future__ import annotations

import re
import wave
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from wavlm.corpus.layouts.join import Tally
from wavlm.corpus.layouts.listed import find_list, in_order
from wavlm.corpus.layouts.manifests import check_listed
from wavlm.corpus.layouts.names import key_of
from wavlm.corpus.layouts.recording import UNKNOWN_SPEAKER, Recording
from wavlm.corpus.layouts.table import read_lines
from wavlm.corpus.layouts.target import make_target
from wavlm.corpus.layouts.tree import Tree
from wavlm.errors import BadDataError
from wavlm.specs.superb import SpeechCommandsLayout
from wavlm.storage.encoding import printable

NOISE, SILENCE, UNKNOWN = "_background_noise_", "_silence_", "_unknown_"
VALIDATION, TESTING = "validation_list.txt", "testing_list.txt"
NOISE_DEV = 10  # every tenth piece of a noise is for selection, as about a tenth of the words is
# In the test set files of other words are named as `bird_48a8a69d_nohash_0.wav.wav`.
_VOICE = re.compile(r"(?:(?P<word>[a-z]+)_)?(?P<voice>[0-9a-f]+)_nohash_[0-9]+(?:\.wav)?")


def read_speech_commands(layout: SpeechCommandsLayout, tree: Tree) -> Iterator[Recording]:
    """Keys are made of partition, word and file name.

    Raises BadDataError: LAYOUT for a list or a tree that is not there, TABLE_JOIN for a list that names other files.
    """
    yield from in_order([*_read_main(layout, tree), *_read_test(layout, tree)])


def _read_main(layout: SpeechCommandsLayout, tree: Tree) -> Iterator[Recording]:
    root = PurePosixPath(layout.root)
    paths = tree.audio(f"{root}/*/*.wav".removeprefix("./"))
    words = [path for path in paths if path.parent.name != NOISE]
    _require(tree, words, layout.root)
    dev, test = (_read_list(tree, layout.root, name, words) for name in (VALIDATION, TESTING))
    for path in words:
        part = "dev" if path in dev else "test" if path in test else "train"
        if part != "test" or not layout.test_root:
            yield _spoken(layout, path, path.parent.name, part)
    if layout.noise_seconds:
        for path in paths:
            if path.parent.name == NOISE:
                yield from _cut(layout, tree, path)


def _read_test(layout: SpeechCommandsLayout, tree: Tree) -> Iterator[Recording]:
    if layout.test_root:
        paths = tree.audio(f"{layout.test_root}/*/*.wav")
        _require(tree, paths, layout.test_root)
        known = {*layout.words, UNKNOWN, SILENCE}
        for path in paths:
            if path.parent.name not in known:
                raise BadDataError(
                    "LAYOUT",
                    f"a folder {printable(path.parent.name)} in the test set, expected one of "
                    f"{', '.join(sorted(known))}; at {printable(str(tree.root / path))}; name the archive of the test "
                    "set in the corpus spec",
                )
            yield _spoken(layout, path, path.parent.name, "test")


def _spoken(layout: SpeechCommandsLayout, path: PurePosixPath, word: str, part: str) -> Recording:
    found = _VOICE.fullmatch(path.stem)
    name = word if word in (*layout.words, SILENCE) else UNKNOWN
    said = word if word not in (SILENCE, UNKNOWN) else found["word"] if found else None
    return Recording(
        key_of(f"{part}/{word}/{path.stem}"),
        path,
        found["voice"] if found else UNKNOWN_SPEAKER,
        part=part,
        target=make_target(class_=name, word=said),
    )


def _cut(layout: SpeechCommandsLayout, tree: Tree, path: PurePosixPath) -> Iterator[Recording]:
    """Pieces of a noise, without the rest at its end."""
    seconds = layout.noise_seconds
    for number in range(int(_length(tree.root / path) / seconds)):
        start = round(number * seconds, 6)
        yield Recording(
            key_of(f"{SILENCE}/{path.stem}-{number:03d}"),
            path,
            UNKNOWN_SPEAKER,
            start_s=start or None,
            end_s=round(start + seconds, 6),
            part="dev" if number % NOISE_DEV == NOISE_DEV - 1 else "train",
            target=make_target(class_=SILENCE),
        )


def _length(path: Path) -> float:
    """Seconds of a noise, which is a WAV file of PCM. Raises BadDataError (LAYOUT) for another one."""
    try:
        with wave.open(str(path)) as file:
            return float(file.getnframes() / file.getframerate())
    except (wave.Error, EOFError) as error:
        what = f"no WAV file of PCM: {error}"
        raise BadDataError("LAYOUT", f"{what}; at {printable(str(path))}; fetch the archive again") from error


def _read_list(tree: Tree, root: str, name: str, paths: list[PurePosixPath]) -> set[PurePosixPath]:
    """The files that a list names. Each has to be there."""
    where, known, found = find_list(tree, root, name), set(paths), set[PurePosixPath]()
    tally = Tally(str(where))
    for number, line in read_lines(tree.root / where):
        if line.strip():
            path = PurePosixPath(root, line.strip())
            tally.add("path" if path in known else "left over", line.strip(), number)
            found.add(path)
    tree.tables.append(check_listed(tree.root / where, tally.account(0), 0.0))
    return found & known


def _require(tree: Tree, paths: object, root: str) -> None:
    if not paths:
        raise BadDataError(
            "LAYOUT",
            f"no recording <word>/<name>.wav in {root or '.'}; in {printable(str(tree.root))}; fetch the archive, or "
            "correct root and test_root of the layout in the corpus spec",
        )
