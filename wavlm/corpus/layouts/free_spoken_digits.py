"""Layout of the Free Spoken Digit Dataset: recordings/<digit>_<speaker>_<number>.wav.

The numbers 0 to 4 of every speaker and digit are the publisher's test set (README.md of
github.com/Jakobovski/free-spoken-digit-dataset, "Usage"; its `utils/trimmer.py` and `acquire_data` number from 0).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from wavlm.corpus.layouts.names import key_of
from wavlm.corpus.layouts.recording import Recording
from wavlm.corpus.layouts.target import make_target
from wavlm.corpus.layouts.tree import Tree
from wavlm.errors import BadDataError
from wavlm.specs.labelled import FreeSpokenDigitLayout
from wavlm.storage.encoding import printable

DIGIT = re.compile(r"(?P<digit>[0-9])_(?P<speaker>[a-z]+)_(?P<number>[0-9]+)")
TEST_NUMBERS = range(5)


def read_free_spoken_digits(layout: FreeSpokenDigitLayout, tree: Tree) -> Iterator[Recording]:
    """Keys are the names of the files."""
    for path in tree.audio(layout.audio):
        found = DIGIT.fullmatch(path.stem)
        if found is None:
            raise BadDataError(
                "LAYOUT",
                f"found {printable(path.name)}, expected <digit>_<speaker>_<number>; at "
                f"{printable(str(tree.root / path))}; check the layout in the corpus spec",
            )
        part = "test" if int(found["number"]) in TEST_NUMBERS else "train"
        target = make_target(class_=found["digit"])
        yield Recording(key_of(path.stem), path, found["speaker"], part=part, target=target)
