"""Files of labels that another complete folder holds for the same tar and the same codebook: they are taken over."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

from wavlm.errors import BadDataError
from wavlm.labels.counts import counts_file
from wavlm.labels.files import label_file, read_header
from wavlm.labels.part import LabelPart
from wavlm.storage.links import take_over
from wavlm.storage.seals import check_sealed

logger = logging.getLogger(__name__)


def take_labels(parts: Sequence[LabelPart], siblings: Iterable[Path]) -> set[LabelPart]:
    """Take over what other folders of labels have of these parts; the parts that need not be made.

    Each file is compared with what was sealed. One that is damaged is not taken, and a warning says so.
    """
    taken: set[LabelPart] = set()
    for sibling in siblings:
        for part in parts:
            if part not in taken and _take(part, label_file(sibling, part.shard.name)):
                taken.add(part)
    return taken


def _take(part: LabelPart, source: Path) -> bool:
    """Take over the labels of a part, and its table of phones and labels first, if they fit."""
    if not source.is_file() or read_header(source) != part.header:
        return False
    counts = counts_file(source)
    try:
        for path in (counts, source):
            check_sealed(path)
        if counts.is_file():
            part.counts.parent.mkdir(exist_ok=True)
            take_over(counts, part.counts)
        else:
            part.counts.unlink(missing_ok=True)
        take_over(source, part.output)
    except (BadDataError, OSError) as error:
        logger.warning("labels cannot be taken over: %s", error)
        return False
    return True
