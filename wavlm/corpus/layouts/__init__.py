"""Corpora on disk, each in the shape its publisher gave it: one reader a layout."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import assert_never

from wavlm.corpus.layouts.asterisk import read_asterisk
from wavlm.corpus.layouts.festvox import read_festvox
from wavlm.corpus.layouts.fillets import read_fillets
from wavlm.corpus.layouts.generic import read_generic
from wavlm.corpus.layouts.librispeech import read_librispeech
from wavlm.corpus.layouts.recording import UNKNOWN_SPEAKER, Phone, Recording, key_of, name_of
from wavlm.specs import (
    AsteriskLayout,
    FestvoxLayout,
    FilletsLayout,
    GenericLayout,
    Layout,
    LibrispeechLayout,
)

__all__ = ["UNKNOWN_SPEAKER", "Phone", "Recording", "key_of", "name_of", "read_layout"]


def read_layout(layout: Layout, root: Path) -> Iterator[Recording]:
    """The recordings below a root, in the order of their paths; the audio itself is not opened."""
    match layout:
        case LibrispeechLayout():
            recordings = read_librispeech(layout, root)
        case GenericLayout():
            recordings = read_generic(layout, root)
        case FilletsLayout():
            recordings = read_fillets(layout, root)
        case AsteriskLayout():
            recordings = read_asterisk(layout, root)
        case FestvoxLayout():
            recordings = read_festvox(layout, root)
        case unknown:
            assert_never(unknown)
    return recordings
