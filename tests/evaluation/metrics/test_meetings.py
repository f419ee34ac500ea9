"""cpWER and MIMO-WER: cases worked by hand, and LibriCSS's own references and sample results."""

from __future__ import annotations

import tarfile
from collections import defaultdict
from pathlib import PurePosixPath

import numpy as np
import pytest

from tests.evaluation.metrics.cases import EVAL_DATA
from wavlm.errors import BadDataError
from wavlm.evaluation.metrics.meetings import cp_edits, mimo_edits

LIBRICSS = EVAL_DATA / "libricss.tar.xz"
# WER % without separation. By SCTK's asclite, the publisher's README has 15.4 11.4 21.7 27.2 34.3 40.4.
EXPECTED = {"0S": 15.1, "0L": 11.2, "10": 21.8, "20": 27.5, "30": 35.6, "40": 42.6}


def test_speakers_are_matched_so_that_errors_are_fewest() -> None:
    """Speakers in the other order, one word of the first replaced: 1 of 5 words."""
    edits = cp_edits([["a", "b", "c"], ["d", "e"]], [["d", "e"], ["a", "x", "c"]])
    assert edits.sums.tolist() == [[1, 5]]


def test_a_speaker_too_few_is_deleted_and_one_too_many_inserted() -> None:
    assert cp_edits([["a", "b"], ["c"]], [["a", "b"]]).deletions.tolist() == [1]
    assert cp_edits([["a", "b"]], [["a", "b"], ["c"]]).insertions.tolist() == [1]


def test_the_reference_is_the_first_side() -> None:
    assert cp_edits([["a", "b", "c"]], [["a"]]).sums.tolist() == [[2, 3]]
    assert mimo_edits([[["a", "b"], ["c"]]], [["a"]]).sums.tolist() == [[2, 3]]


def test_utterances_of_a_speaker_may_go_to_several_channels() -> None:
    """cpWER would count the second utterance of the first speaker as errors on both sides."""
    reference = [[["a", "b"], ["c", "d"]], [["e", "f"]]]
    assert mimo_edits(reference, [["a", "b"], ["e", "f", "c", "d"]]).sums.tolist() == [[0, 6]]
    assert mimo_edits(reference, [["a", "b"], ["e", "f", "c", "x"]]).substitutions.tolist() == [1]


def test_silence_on_either_side_is_all_deleted_or_inserted() -> None:
    assert cp_edits([["a", "b"]], []).deletions.tolist() == [2]
    assert cp_edits([[]], [["x"]]).sums.tolist() == [[1, 0]]
    assert mimo_edits([[["a"]], [[]]], [[]]).deletions.tolist() == [1]


def test_what_cannot_be_scored_is_refused() -> None:
    with pytest.raises(BadDataError, match=r"METRIC_UNDEFINED: cpWER: nothing to score"):
        cp_edits([], [["a"]])
    with pytest.raises(BadDataError, match=r"METRIC_MISFIT: MIMO-WER: 1 speakers and 0 channels"):
        mimo_edits([[["a"]]], [])
    with pytest.raises(BadDataError, match=r"METRIC_MISFIT: MIMO-WER: 1 speakers and 11 channels"):
        mimo_edits([[["a"]]], [["a"]] * 11)


def read_libricss() -> dict[str, list[tuple[list[list[list[str]]], list[str]]]]:
    """Per condition: the utterances of each speaker of a segment, and the words that were recognised in it."""
    texts = {}
    with tarfile.open(LIBRICSS) as tar:
        for member in tar:
            path = PurePosixPath(member.name)
            if path.suffix in (".stm", ".ctm"):
                held = tar.extractfile(member)
                assert held is not None
                texts[path.suffix, path.parts[-2], path.stem] = held.read().decode()
    segments = defaultdict(list)
    for suffix, session, segment in sorted(texts):
        if suffix == ".ctm":
            rows = sorted(map(str.split, texts[suffix, session, segment].splitlines()), key=lambda row: float(row[2]))
            speakers = defaultdict(list)
            for line in texts[".stm", session, segment].splitlines():
                if not line.startswith(";;"):
                    _, _, speaker, start_s, _, _, *words = line.split()
                    speakers[speaker].append((float(start_s), words))
            ratio, silence = float(session.split("_")[2]), session.split("_")[4]
            condition = f"{ratio:.0f}" if ratio else {"0.5": "0S", "3.0": "0L"}[silence]
            reference = [[words for _, words in sorted(utterances)] for utterances in speakers.values()]
            segments[condition].append((reference, [row[4] for row in rows]))
    return segments


@pytest.mark.skipif(not LIBRICSS.exists(), reason=f"no {LIBRICSS.name} with LibriCSS's references and sample results")
def test_libricss_has_its_known_word_error_rates() -> None:
    segments = read_libricss()
    assert sum(map(len, segments.values())) == 715
    rates = {}
    for condition, pairs in segments.items():
        sums = np.concatenate([mimo_edits(reference, [words]).sums for reference, words in pairs]).sum(axis=0)
        rates[condition] = 100 * sums[0] / sums[1]
    assert rates == pytest.approx(EXPECTED, abs=0.06)
