"""Recognise the trees of large corpora by the lists that their publishers put into them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from wavlm.corpus.layouts.json_lines import load_object
from wavlm.corpus.layouts.mls import PARTS, UTTERANCE
from wavlm.corpus.layouts.rows import RowError
from wavlm.corpus.layouts.table import read_text
from wavlm.corpus.layouts.tree import Tree
from wavlm.errors import BadDataError
from wavlm.pipeline.init.detected import Detected
from wavlm.specs.publishers import GigaspeechLayout, LibrilightLayout, MlsLayout, VoxpopuliLayout

MOST_AUDIO = 0.9  # of the audio files have to fit


def find_publishers(tree: Tree, audio: Sequence[PurePosixPath]) -> Iterator[Detected]:
    """The layouts whose publishers' lists are there."""
    for path in tree.files("**/GigaSpeech.json"):
        yield Detected(GigaspeechLayout(type="gigaspeech", root=_root(path.parent)), f"{path}, as in GigaSpeech")
    for path in tree.files("**/unlabelled_data/unlabelled_v2.tsv.gz"):
        root = path.parents[1]
        if languages := _languages(audio, root):
            layout = VoxpopuliLayout(type="voxpopuli", root=_root(root), languages=languages)
            yield Detected(layout, f"{path} beside raw_audios, as in VoxPopuli")
    if _is_librilight(tree, audio):
        why = "a JSON with speaker and voice_activity beside each chapter, as in Libri-Light"
        yield Detected(LibrilightLayout(type="librilight"), why)
    roots = {found for path in audio if (found := _mls_root(path)) is not None}
    if len(roots) == 1 and sum(_mls_root(path) is not None for path in audio) >= MOST_AUDIO * len(audio):
        why = "<part>/audio/<speaker>/<book>/<speaker>_<book>_<number>, as in Multilingual LibriSpeech"
        yield Detected(MlsLayout(type="mls", root=_root(roots.pop())), why)


def _root(path: PurePosixPath) -> str:
    return "" if path == PurePosixPath() else str(path)


def _languages(audio: Sequence[PurePosixPath], root: PurePosixPath) -> tuple[str, ...]:
    depth = len(root.parts)
    found = {path.parts[depth + 1] for path in audio if path.parts[: depth + 1] == (*root.parts, "raw_audios")}
    return tuple(sorted(name for name in found if len(name) == 2))


def _is_librilight(tree: Tree, audio: Sequence[PurePosixPath]) -> bool:
    beside = set(tree.files("**/*.json"))
    chapters = [path for path in audio if path.suffix == ".flac" and path.with_suffix(".json") in beside]
    if not chapters or len(chapters) < MOST_AUDIO * len(audio):
        return False
    try:
        found = load_object(read_text(tree.root / chapters[0].with_suffix(".json")))
        return {"speaker", "voice_activity"} <= found.keys()
    except (BadDataError, RowError):
        return False


def _mls_root(path: PurePosixPath) -> PurePosixPath | None:
    """The folder above the parts, if a file is named as one of Multilingual LibriSpeech."""
    found = UTTERANCE.fullmatch(path.stem)
    is_mls = (
        found is not None
        and len(path.parts) > 4
        and path.parts[-3:-1] == (found["speaker"], found["book"])
        and path.parts[-4] == "audio"
        and path.parts[-5] in PARTS
    )
    return path.parents[4] if is_mls else None
