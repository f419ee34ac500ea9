"""Layout of VoiceBank-DEMAND: {clean,noisy}_{trainset_28spk,testset}_wav/<speaker>_<number>.wav, texts in *_txt.

Source: Edinburgh DataShare 10283/2791, and `s3prl/downstream/enhancement_stft/scripts/Voicebank/data_prepare.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from wavlm.corpus.layouts.listed import in_order
from wavlm.corpus.layouts.names import key_of
from wavlm.corpus.layouts.recording import Recording
from wavlm.corpus.layouts.table import read_text
from wavlm.corpus.layouts.target import make_target
from wavlm.corpus.layouts.tree import Tree
from wavlm.errors import BadDataError
from wavlm.specs.superb_generation import VoicebankLayout
from wavlm.storage.encoding import printable

SETS = ("trainset_28spk", "testset")
_UTTERANCE = re.compile(r"(?P<speaker>p[0-9]+)_[0-9]+")


def read_voicebank(layout: VoicebankLayout, tree: Tree) -> Iterator[Recording]:
    """Keys are `clean__<name>` and `noisy__<name>`. A noisy recording names its clean one in its target.

    Raises BadDataError (LAYOUT) for a folder that is not there, and for a recording without its other half.
    """
    yield from in_order(item for name in SETS for item in _read(layout, tree, name))


def _read(layout: VoicebankLayout, tree: Tree, name: str) -> Iterator[Recording]:
    clean, noisy = (_find(layout, tree, f"{kind}_{name}_wav") for kind in ("clean", "noisy"))
    if lonely := sorted(clean.keys() ^ noisy.keys()):
        raise BadDataError(
            "LAYOUT",
            f"{len(lonely)} recordings of {name} are only clean or only noisy, such as {printable(lonely[0])}; in "
            f"{printable(str(tree.root))}; fetch the archives again",
        )
    for stem, path in clean.items():
        found = _UTTERANCE.fullmatch(stem)
        if found is None:
            raise BadDataError(
                "LAYOUT",
                f"found {printable(path.name)}, expected <speaker>_<number>.wav; at "
                f"{printable(str(tree.root / path))}; check the layout in the corpus spec",
            )
        speaker = found["speaker"]
        part = "test" if name == "testset" else "dev" if speaker in layout.dev_speakers else "train"
        text = _text(layout, tree, f"{name}_txt", stem)
        key = key_of(f"clean/{stem}")
        yield Recording(key, path, speaker, text, part=part)
        target = make_target(clean=key)
        yield Recording(key_of(f"noisy/{stem}"), noisy[stem], speaker, text, part=part, target=target)


def _find(layout: VoicebankLayout, tree: Tree, folder: str) -> Mapping[str, PurePosixPath]:
    """The recordings of a folder, whose name may end in `_16k`, by file name."""
    above = f"{layout.root}/".lstrip("/")
    found = [path for ending in ("", "_16k") for path in tree.audio(f"{above}{folder}{ending}/*.wav")]
    names = {path.stem: path for path in found}
    if not found or len(names) < len(found):
        what = "both with and without _16k" if found else "no recording"
        raise BadDataError(
            "LAYOUT",
            f"{what} in {folder}; in {printable(str(tree.root / layout.root))}; unpack one version of the archive "
            "there",
        )
    return names


def _text(layout: VoicebankLayout, tree: Tree, folder: str, stem: str) -> str | None:
    path = tree.spelled(str(PurePosixPath(layout.root, folder, f"{stem}.txt")))
    return None if path is None else read_text(tree.root / path).strip()
