"""Word error rates of recordings with several speakers, by MeetEval: cpWER and MIMO-WER.

cpWER (Watanabe et al. 2020, CHiME-6): the words of each speaker are put behind each other, and found speakers are
matched to those of the reference so that the errors are fewest. MIMO-WER (von Neumann et al. 2023, arXiv 2211.16112):
utterances of the reference may go to any output channel, in the order of each speaker; for separation, whose channels
are no speakers. It is used for LibriCSS. Its time grows fast with the number of channels: two or three are fine.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from wavlm.evaluation.metrics.checks import misfit, require_some
from wavlm.evaluation.metrics.libraries import load_scorer
from wavlm.evaluation.metrics.words import EditCounts

Words = Sequence[str]
MOST_CHANNELS = 10  # MeetEval refuses more


def cp_edits(reference: Sequence[Words], found: Sequence[Words]) -> EditCounts:
    """Edits of one recording, given the words of each speaker in the order of time. Fields are (1,).

    Raises BadDataError (METRIC_UNDEFINED) where the reference has no speaker.
    """
    require_some("cpWER", reference)
    score = load_scorer("meeteval.wer").cp_word_error_rate
    return _edits(score(_joined(reference), _joined(found), reference_sort=False, hypothesis_sort=False))


def mimo_edits(reference: Sequence[Sequence[Words]], channels: Sequence[Words]) -> EditCounts:
    """Edits of one recording, given the utterances of each speaker, and the words of each output channel.

    Both are in the order of time. Raises BadDataError: METRIC_UNDEFINED where the reference has no speaker,
    METRIC_MISFIT where there are no channels or too many.
    """
    require_some("MIMO-WER", reference)
    most = max(len(reference), len(channels))
    if most > MOST_CHANNELS or not channels:
        raise misfit(
            f"MIMO-WER: {len(reference)} speakers and {len(channels)} channels",
            f"expected at least one channel, and at most {MOST_CHANNELS} of both",
            "cut the recording into segments",
        )
    score = load_scorer("meeteval.wer").mimo_word_error_rate
    speakers = [[" ".join(words) for words in utterances] for utterances in reference]
    return _edits(score(speakers, _joined(channels), reference_sort=False, hypothesis_sort=False))


def _joined(words: Sequence[Words]) -> list[str]:
    return [" ".join(one) for one in words]


def _edits(found: Any) -> EditCounts:
    counts = (found.substitutions, found.deletions, found.insertions, found.length)
    return EditCounts(*(np.array([count], np.int64) for count in counts))
