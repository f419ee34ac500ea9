"""Word, character and phone error rates by jiwer: edit counts per utterance, so that sums and intervals can be formed.

Nothing is normalised here: case, punctuation and spelling are what the caller gives. `split_words` and
`split_characters` are the two ways of making tokens of a text. Tokens of a phone error rate are the phones.

Legend: U utterances.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wavlm.evaluation.metrics.checks import Floats, require_pairs, undefined
from wavlm.evaluation.metrics.libraries import load_scorer


@dataclass(frozen=True)
class EditCounts:
    """The edits that turn each reference into its result, by a shortest alignment. All fields are (U,)."""

    substitutions: npt.NDArray[np.int64]
    deletions: npt.NDArray[np.int64]
    insertions: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]  # tokens of the references

    @property
    def errors(self) -> npt.NDArray[np.int64]:
        return self.substitutions + self.deletions + self.insertions

    @property
    def sums(self) -> Floats:
        """Numbers per utterance whose sums give the rate: errors, and tokens of the reference (U, 2)."""
        return np.stack([self.errors, self.lengths], axis=1).astype(np.float64)

    @property
    def rate(self) -> float:
        """All errors by all tokens of the references: 0.1 is 10 %. It may be above 1."""
        length = int(self.lengths.sum())
        if not length:
            raise undefined(
                f"error rate: the references of all {len(self.lengths)} utterances are empty",
                "expected at least one token",
                "check the transcripts of the corpus",
            )
        return int(self.errors.sum()) / length


def count_edits(references: Sequence[Sequence[str]], found: Sequence[Sequence[str]]) -> EditCounts:
    """Edits of each utterance (U,), given tokens. An empty reference is allowed: each token found is an insertion.

    Raises BadDataError (METRIC_MISFIT) where the two differ in length, TypeError where a text stands for its tokens.
    """
    require_pairs("error rate", references, found)
    for text in (*references, *found):
        if isinstance(text, str):
            raise TypeError(f"tokens are expected, found the text {text[:40]!r}: split it by words or by characters")
    jiwer = load_scorer("jiwer")
    aligned = jiwer.process_words(
        [list(tokens) for tokens in references],
        [list(tokens) for tokens in found],
        reference_transform=list,  # tokens already: nothing is changed
        hypothesis_transform=list,
    )
    counts = np.zeros((len(references), 3), np.int64)
    column = {"substitute": 0, "delete": 1, "insert": 2}
    for row, chunks in enumerate(aligned.alignments):
        for chunk in chunks:
            if chunk.type != "equal":
                spans = (chunk.ref_end_idx - chunk.ref_start_idx, chunk.hyp_end_idx - chunk.hyp_start_idx)
                counts[row, column[chunk.type]] += max(spans)
    lengths = np.array([len(tokens) for tokens in references], np.int64)
    return EditCounts(counts[:, 0], counts[:, 1], counts[:, 2], lengths)


def split_words(text: str) -> list[str]:
    """The words of a text: what stands between spaces."""
    return text.split()


def split_characters(text: str, *, keep_spaces: bool) -> list[str]:
    """The characters of a text. The reference of SUPERB's CER keeps spaces as characters."""
    return [character for character in text if keep_spaces or not character.isspace()]
