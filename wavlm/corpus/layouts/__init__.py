"""Readers of corpora on disk, one per layout: what each publisher's folder tree holds.

A new layout takes three places: its spec in `wavlm/specs/layouts.py` (a class, and a member of `OfPublisher`),
a reader in a file of this package, and a line in `READERS`. Those of manifests share `manifests`, those of containers
have a line in `CONTAINERS`, too, and those with lists of trials one in `TRIALS`.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from wavlm.corpus.layouts.account import FilesAccount, TableAccount, check_files, describe_losses
from wavlm.corpus.layouts.asterisk import read_asterisk
from wavlm.corpus.layouts.audio_snips import read_audio_snips
from wavlm.corpus.layouts.columns import check_columns, read_columns
from wavlm.corpus.layouts.common_voice import read_common_voice
from wavlm.corpus.layouts.covost import read_covost
from wavlm.corpus.layouts.espnet import read_espnet
from wavlm.corpus.layouts.fairseq import read_fairseq
from wavlm.corpus.layouts.festvox import read_festvox
from wavlm.corpus.layouts.fillets import read_fillets
from wavlm.corpus.layouts.fluent_commands import read_fluent_commands
from wavlm.corpus.layouts.free_spoken_digits import read_free_spoken_digits
from wavlm.corpus.layouts.generic import check_generic, read_generic, read_generic_trials
from wavlm.corpus.layouts.gigaspeech import read_gigaspeech
from wavlm.corpus.layouts.huggingface import find_files, read_huggingface, unpack_rows
from wavlm.corpus.layouts.iemocap import read_iemocap
from wavlm.corpus.layouts.kaldi import read_kaldi
from wavlm.corpus.layouts.kaldi_turns import read_kaldi_turns
from wavlm.corpus.layouts.lhotse import read_lhotse
from wavlm.corpus.layouts.libricss import read_libricss
from wavlm.corpus.layouts.librilight import read_librilight
from wavlm.corpus.layouts.librimix import read_librimix
from wavlm.corpus.layouts.librispeech import read_librispeech
from wavlm.corpus.layouts.manifests import check_manifests
from wavlm.corpus.layouts.mls import read_mls
from wavlm.corpus.layouts.names import key_of, name_of, path_from_text, path_to_text
from wavlm.corpus.layouts.nemo import read_nemo
from wavlm.corpus.layouts.quesst import read_quesst, read_quesst_trials
from wavlm.corpus.layouts.recording import UNKNOWN_SPEAKER, Phone, Recording
from wavlm.corpus.layouts.rttm import read_rttm
from wavlm.corpus.layouts.sbcsae import read_sbcsae
from wavlm.corpus.layouts.speech_commands import read_speech_commands
from wavlm.corpus.layouts.tree import Tree
from wavlm.corpus.layouts.trial import Trial
from wavlm.corpus.layouts.vcc2020 import read_vcc2020
from wavlm.corpus.layouts.voicebank import read_voicebank
from wavlm.corpus.layouts.voxceleb import read_voxceleb, read_voxceleb_trials
from wavlm.corpus.layouts.voxpopuli import read_voxpopuli
from wavlm.corpus.layouts.webdataset import find_tars, read_webdataset
from wavlm.specs import Layout, Spec
from wavlm.specs.containers import HuggingfaceLayout, WebdatasetLayout
from wavlm.specs.labelled import FreeSpokenDigitLayout, KaldiTurnsLayout, LibricssLayout, RttmLayout
from wavlm.specs.layouts import AsteriskLayout, FestvoxLayout, FilletsLayout, GenericLayout, LibrispeechLayout
from wavlm.specs.manifests import (
    EspnetLayout,
    FairseqLayout,
    KaldiLayout,
    LhotseLayout,
    ListedLayout,
    NemoLayout,
    TableLayout,
)
from wavlm.specs.publishers import GigaspeechLayout, LibrilightLayout, MlsLayout, VoxpopuliLayout
from wavlm.specs.superb import (
    AudioSnipsLayout,
    FluentCommandsLayout,
    IemocapLayout,
    QuesstLayout,
    SpeechCommandsLayout,
    VoxcelebLayout,
)
from wavlm.specs.superb_generation import (
    CommonVoiceLayout,
    CovostLayout,
    LibrimixLayout,
    SbcsaeLayout,
    Vcc2020Layout,
    VoicebankLayout,
)

__all__ = [
    "CONTAINERS",
    "READERS",
    "UNKNOWN_SPEAKER",
    "FilesAccount",
    "Phone",
    "Reading",
    "Recording",
    "TableAccount",
    "check_files",
    "check_layout",
    "containers_of",
    "describe_losses",
    "has_trials",
    "key_of",
    "name_of",
    "open_layout",
    "open_trials",
    "path_from_text",
    "path_to_text",
    "read_layout",
]

# A reader takes the layout and the files of the corpus. It yields recordings in the order of their paths.
READERS: Mapping[type[Spec], Callable[[Any, Tree], Iterator[Recording]]] = {
    AsteriskLayout: read_asterisk,
    AudioSnipsLayout: read_audio_snips,
    CommonVoiceLayout: read_common_voice,
    CovostLayout: read_covost,
    EspnetLayout: read_espnet,
    FairseqLayout: read_fairseq,
    FestvoxLayout: read_festvox,
    FilletsLayout: read_fillets,
    FluentCommandsLayout: read_fluent_commands,
    FreeSpokenDigitLayout: read_free_spoken_digits,
    GenericLayout: read_generic,
    GigaspeechLayout: read_gigaspeech,
    HuggingfaceLayout: read_huggingface,
    IemocapLayout: read_iemocap,
    KaldiLayout: read_kaldi,
    KaldiTurnsLayout: read_kaldi_turns,
    LhotseLayout: read_lhotse,
    LibricssLayout: read_libricss,
    LibrilightLayout: read_librilight,
    LibrimixLayout: read_librimix,
    LibrispeechLayout: read_librispeech,
    MlsLayout: read_mls,
    NemoLayout: read_nemo,
    QuesstLayout: read_quesst,
    RttmLayout: read_rttm,
    SbcsaeLayout: read_sbcsae,
    SpeechCommandsLayout: read_speech_commands,
    TableLayout: read_columns,
    Vcc2020Layout: read_vcc2020,
    VoicebankLayout: read_voicebank,
    VoxcelebLayout: read_voxceleb,
    VoxpopuliLayout: read_voxpopuli,
    WebdatasetLayout: read_webdataset,
}


# Readers of lists of trials, for the layouts that have some. They take the keys of the recordings, too.
TRIALS: Mapping[type[Spec], Callable[[Any, Tree, Container[str]], Iterator[Trial]]] = {
    GenericLayout: read_generic_trials,
    QuesstLayout: read_quesst_trials,
    VoxcelebLayout: read_voxceleb_trials,
}


class Containers(NamedTuple):
    """How a layout finds its containers in a folder, and what is in one: names and bytes; None: it is a tar."""

    find: Callable[[Any, Tree], list[PurePosixPath]]
    unpack: Callable[[Any, Path], Iterator[tuple[str, bytes]]] | None = None


# Layouts whose files are unpacked first. Their readers get what was unpacked.
CONTAINERS: Mapping[type[Spec], Containers] = {
    HuggingfaceLayout: Containers(find_files, unpack_rows),
    WebdatasetLayout: Containers(find_tars),
}


@dataclass(frozen=True)
class Reading:
    """The recordings of a corpus, and what became of every other file and of every row of its tables."""

    recordings: tuple[Recording, ...]
    files: FilesAccount
    tables: tuple[TableAccount, ...]
    outside: tuple[str, ...] = ()  # names of the files outside of the folder that manifests name

    def __iter__(self) -> Iterator[Recording]:
        return iter(self.recordings)


def read_layout(layout: Layout, root: Path, elsewhere: Mapping[str, int] | None = None) -> Reading:
    """The recordings below a folder, in the order of their paths. Files with unknown suffixes are looked into.

    `elsewhere`: audio that belongs there and lies in archives, by path, with sizes.
    Raises BadDataError (LAYOUT, TABLE_JOIN) for files and tables that do not fit the layout, and UsageError
    (FILE_ENCODING). Files that are left out are no error here: see `check_files`.
    """
    tree, found = open_layout(layout, root, elsewhere)
    recordings = tuple(found)
    files = tree.account(str(item.path) for item in recordings)
    return Reading(recordings, files, tuple(tree.tables), tuple(tree.outside))


def open_layout(
    layout: Layout, root: Path, elsewhere: Mapping[str, int] | None = None
) -> tuple[Tree, Iterator[Recording]]:
    """The files below a folder, and the recordings as they are read, in the order of their paths.

    The tree has the accounts of tables once the last recording was read. `elsewhere`, and what it raises: as
    `read_layout`.
    """
    tree = Tree(root, elsewhere)
    return tree, READERS[type(layout)](layout, tree)


def has_trials(layout: Layout) -> bool:
    """Whether a layout has lists of trials. Whether any are to be read, its fields say."""
    return type(layout) in TRIALS


def open_trials(layout: Layout, tree: Tree, keys: Container[str]) -> Iterator[Trial]:
    """The trials of a layout that has some, list by list. `keys`: of the recordings.

    Raises BadDataError (LAYOUT) with all lines of a list that name no recording, or say nothing usable.
    """
    return TRIALS[type(layout)](layout, tree, keys)


def containers_of(layout: Layout, tree: Tree) -> list[PurePosixPath]:
    """The containers of a folder that a layout reads; none for layouts of files.

    Raises BadDataError (LAYOUT) if a layout of containers finds none.
    """
    found = CONTAINERS.get(type(layout))
    return [] if found is None else found.find(layout, tree)


def check_layout(layout: Layout, root: Path) -> None:
    """Raise BadDataError (LAYOUT) for what is wrong at the first look, before any file is read. Takes no time."""
    if isinstance(layout, GenericLayout):
        check_generic(layout, root)
    elif isinstance(layout, ListedLayout):
        check_manifests(layout, root)
        if isinstance(layout, TableLayout):
            check_columns(layout, root)
