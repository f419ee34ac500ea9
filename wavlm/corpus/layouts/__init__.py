"""Readers of corpora on disk, one per layout: what each publisher's folder tree holds.

A new layout takes three places: its spec in `wavlm/specs/corpora.py` (a class, and a member of `Layout`),
a reader in a file of this package, and a line in `READERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from wavlm.corpus.layouts.asterisk import read_asterisk
from wavlm.corpus.layouts.festvox import read_festvox
from wavlm.corpus.layouts.fillets import read_fillets
from wavlm.corpus.layouts.generic import read_generic
from wavlm.corpus.layouts.librispeech import read_librispeech
from wavlm.corpus.layouts.recording import UNKNOWN_SPEAKER, Phone, Recording, key_of, name_of
from wavlm.specs import Layout, Spec
from wavlm.specs.corpora import AsteriskLayout, FestvoxLayout, FilletsLayout, GenericLayout, LibrispeechLayout

__all__ = ["READERS", "UNKNOWN_SPEAKER", "Phone", "Recording", "key_of", "name_of", "read_layout"]

# A reader takes the layout and the folder of the corpus. It yields recordings in the order of their paths.
READERS: Mapping[type[Spec], Callable[[Any, Path], Iterator[Recording]]] = {
    AsteriskLayout: read_asterisk,
    FestvoxLayout: read_festvox,
    FilletsLayout: read_fillets,
    GenericLayout: read_generic,
    LibrispeechLayout: read_librispeech,
}


def read_layout(layout: Layout, root: Path) -> Iterator[Recording]:
    """The recordings below a folder, in the order of their paths. No audio file is opened.

    Raises BadDataError (LAYOUT, KEY_BAD) for files that do not fit the layout.
    """
    return READERS[type(layout)](layout, root)
