"""Find out how the files of a corpus are arranged: by what is in them. What may be two things is told, not guessed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from wavlm.corpus.layouts.librispeech import UTTERANCE
from wavlm.corpus.layouts.tree import Tree
from wavlm.errors import BadDataError, UsageError
from wavlm.pipeline.init.detected import Detected
from wavlm.pipeline.init.manifests import CONTAINERS, choose, sniff_all
from wavlm.pipeline.init.publishers import find_publishers
from wavlm.pipeline.init.sniff import Sniffed, sniff
from wavlm.pipeline.init.speakers import guess_speakers
from wavlm.specs.layouts import AsteriskLayout, FestvoxLayout, FilletsLayout, GenericLayout, LibrispeechLayout
from wavlm.storage.encoding import printable

MOST_AUDIO = 0.9  # of the audio files have to fit a publisher's layout


def detect(root: Path, wanted: str = "", audio_root: str = "") -> Detected:
    """The layout of the files below a folder. `wanted`: its type, where a person has said it.

    Manifests go before publishers' trees, and these before folders of any kind. Raises UsageError (LAYOUT_AMBIGUOUS) if
    several fit, BadDataError (CORPUS_EMPTY) if there is nothing to read, and UsageError (NOTHING_FITS) if the wanted
    one does not fit.
    """
    tree = Tree(root)
    audio = tree.audio("**/*")
    sniffed = [item for item in sniff_all(tree) if wanted in ("", item.kind)]
    found = choose(root, sniffed, audio_root)
    if not found or wanted:
        found += _publishers(tree, audio)
    if audio and (wanted == "generic" or all(item.layout.type in CONTAINERS for item in found)):
        found.append(_generic(audio))  # also beside containers: a person has to say which
    fitting = [item for item in found if wanted in ("", item.layout.type)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise UsageError(
            "LAYOUT_AMBIGUOUS",
            f"the files may be read in several ways: {_describe(fitting)}; in {printable(str(root))}; say which by "
            f"--layout {fitting[0].layout.type}, or name the manifest itself",
        )
    if wanted and found:
        raise UsageError(
            "NOTHING_FITS",
            f"the files are not arranged as {wanted} says, but: {_describe(found)}; in {printable(str(root))}; leave "
            "--layout out, or name another folder",
        )
    raise _nothing(tree, sniffed)


def detect_manifest(root: Path, name: str, wanted: str = "", audio_root: str = "") -> Detected:
    """The layout of one manifest, or one container, of a folder.

    Raises UsageError: MANIFEST_UNKNOWN if it is none, NOTHING_FITS if it is not the wanted kind.
    """
    path = PurePosixPath(name)
    found = sniff(root, path)
    if found is None:
        raise UsageError(
            "MANIFEST_UNKNOWN",
            f"this is no manifest that names audio, and no container of it; at {printable(str(root / name))}; name a "
            "folder, or one of the manifests of docs/layouts.md",
        )
    if wanted not in ("", found.kind):
        raise UsageError(
            "NOTHING_FITS",
            f"this is {found.why}, and no {wanted}; at {printable(str(root / name))}; leave --layout out",
        )
    chosen = choose(root, [found, *_beside(root, found)], audio_root)
    if not chosen:
        raise _no_audio(root, [found])
    return chosen[0]


def _beside(root: Path, found: Sniffed) -> list[Sniffed]:
    """The recordings of lhotse's supervisions, and the supervisions of recordings: the file of the same name."""
    other = {"recordings": "supervisions", "supervisions": "recordings"}.get(found.part)
    path = found.path.with_name(found.path.name.replace(found.part, other)) if other else found.path
    if path == found.path or not (root / path).exists():
        return []
    beside = sniff(root, path)
    return [beside] if beside else []


def _nothing(tree: Tree, sniffed: Sequence[Sniffed]) -> BadDataError | UsageError:
    if sniffed:
        return _no_audio(tree.root, sniffed)
    account = tree.account([])
    return BadDataError(
        "CORPUS_EMPTY",
        f"there is no audio and no manifest, but {account.describe_suffixes()}; in {printable(str(tree.root))}; name "
        "the folder that holds the recordings, or the manifest itself",
    )


def _no_audio(root: Path, found: Sequence[Sniffed]) -> BadDataError:
    names = [name for item in found for name in item.audio][:2]
    what = f"the audio is not there that {found[0].path} names, such as {printable(', '.join(names) or 'nothing')}"
    return BadDataError("CORPUS_EMPTY", f"{what}; in {printable(str(root))}; say where paths start by --audio-root")


def _describe(found: Sequence[Detected]) -> str:
    return "; or ".join(f"{item.layout.type} ({item.why})" for item in found)


def _publishers(tree: Tree, audio: Sequence[PurePosixPath]) -> Iterator[Detected]:
    """Layouts of single publishers, each with marks of its own."""
    yield from find_publishers(tree, audio)
    if _is_most((path for path in audio if _is_librispeech(path)), audio):
        why = "files are named <speaker>-<chapter>-<number>.flac in folders <speaker>/<chapter>, as in LibriSpeech"
        yield Detected(LibrispeechLayout(type="librispeech"), why)
    if tree.files("**/etc/txt.done.data") and _is_most((path for path in audio if path.parent.name == "wav"), audio):
        yield Detected(FestvoxLayout(type="festvox", speaker="voice"), "wav/ beside etc/txt.done.data, as in Festvox")
    if _is_most((path for path in audio if path.suffix == ".g722" and "sounds" in path.parts), audio):
        yield Detected(AsteriskLayout(type="asterisk", speaker="voice"), "sounds/**/*.g722, as in Asterisk's prompts")
    for language in _languages(tree):
        why = f"script/*/dialogs_{language}.lua, as in Fish Fillets"
        yield Detected(FilletsLayout(type="fillets", language=language), why)


def _is_librispeech(path: PurePosixPath) -> bool:
    found = UTTERANCE.fullmatch(path.stem)
    return found is not None and path.suffix == ".flac" and path.parts[-3:-1] == (found["speaker"], found["chapter"])


def _languages(tree: Tree) -> list[str]:
    names = (re.fullmatch(r"dialogs_([a-z]{2})", path.stem) for path in tree.files("**/script/*/dialogs_*.lua"))
    return sorted({match[1] for match in names if match})


def _generic(audio: Sequence[PurePosixPath]) -> Detected:
    speakers = guess_speakers(audio)
    hint = f"if the beginnings of file names are speakers, set speaker: '{speakers.maybe}'"
    why = f"a folder tree; {'speakers' if speakers.pattern else 'no speakers'}: {speakers.why}"
    return Detected(GenericLayout(type="generic", speaker=speakers.pattern), why, (hint,) if speakers.maybe else ())


def _is_most(found: Iterator[PurePosixPath], audio: Sequence[PurePosixPath]) -> bool:
    return bool(audio) and sum(1 for _ in found) >= MOST_AUDIO * len(audio)
