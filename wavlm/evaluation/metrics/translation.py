"""Speech translation: BLEU by sacreBLEU, case-sensitive, on detokenised text.

Tokens are sacreBLEU's `13a`. Its signature goes with each number: two BLEUs with other signatures are not comparable.

Legend: U utterances.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from wavlm.evaluation.metrics.checks import Floats, require_pairs, undefined
from wavlm.evaluation.metrics.libraries import load_scorer

MAX_ORDER = 4


@dataclass(frozen=True)
class Bleu:
    """BLEU of a test set, from 0 to 100, and the counts of each utterance that it is made of."""

    score: float
    signature: str
    sums: Floats  # (U, 10): matches of 1 to 4 words, all of 1 to 4 words, words found, words of the reference


def corpus_bleu(references: Sequence[str], found: Sequence[str]) -> Bleu:
    """BLEU of the translations of utterances (U,), one reference each.

    Raises BadDataError: METRIC_MISFIT where the two differ in length, METRIC_UNDEFINED where all references are empty.
    """
    require_pairs("BLEU", references, found)
    if not any(text.strip() for text in references):
        raise undefined(
            f"BLEU: all {len(references)} references are empty",
            "expected words",
            "check the translations of the corpus",
        )
    metric = _metric()
    score = metric.corpus_score(list(found), [list(references)])
    each = [metric.corpus_score([theirs], [[ours]]) for ours, theirs in zip(references, found, strict=True)]
    sums = np.array([[*one.counts, *one.totals, one.sys_len, one.ref_len] for one in each], dtype=np.float64)
    return Bleu(float(score.score), str(metric.get_signature()), sums)


def bleu_of(sums: Floats) -> Floats:
    """BLEU of summed counts: (R, 10) to (R,). For intervals."""
    compute = type(_metric()).compute_bleu
    rows = np.rint(sums).astype(int).tolist()
    return np.array(
        [
            compute(row[:MAX_ORDER], row[MAX_ORDER : 2 * MAX_ORDER], row[-2], row[-1], smooth_method="exp").score
            for row in rows
        ]
    )


def _metric() -> Any:
    return load_scorer("sacrebleu.metrics").BLEU(
        lowercase=False, tokenize="13a", smooth_method="exp", max_ngram_order=MAX_ORDER
    )
