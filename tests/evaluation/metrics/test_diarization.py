"""DER and JER: a recording worked by hand, and real meetings as spyder scores them, whose collar is md-eval's."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.metrics.cases import AMI, Turn, read_turns, spoil
from wavlm.errors import BadDataError
from wavlm.evaluation.metrics.diarization import DiarizationErrors, diarization_errors, jaccard_error_sums, join_turns

REFERENCES = json.loads(Path(__file__).with_name("references.json").read_text())["diarization"]
WHOLE = [(0.0, 10.0)]
# A speaks 0 to 4, B 3 to 8: one second of overlap.
REFERENCE: list[Turn] = [(0.0, 4.0, "A"), (3.0, 8.0, "B")]
# x is A: its first second is missed. y is B until 6, then z: 2 s confused; z goes on for a second.
FOUND: list[Turn] = [(1.0, 4.0, "x"), (3.0, 6.0, "y"), (6.0, 9.0, "z")]


def parts_of(errors: DiarizationErrors) -> list[float]:
    return [errors.missed_s, errors.false_alarm_s, errors.confusion_s, errors.total_s]


def test_the_parts_are_those_worked_by_hand() -> None:
    errors = diarization_errors(REFERENCE, FOUND, WHOLE, collar_each_side_s=0.0)
    assert parts_of(errors) == pytest.approx([1, 1, 2, 9])
    assert errors.rate == pytest.approx(4 / 9)
    assert (errors + errors).sums.tolist() == pytest.approx([8, 18])


def test_the_collar_is_left_out_on_each_side_of_a_boundary() -> None:
    """Boundaries at 0, 3, 4 and 8. Half a second on each side of them is left out: of the first second .5 is missed, of
    the last .5 is a false alarm, of 6 to 8 1.5 are confused. Speech that is scored: A .5 to 2.5, both 0, B 4.5 to 7.5.
    """
    errors = diarization_errors(REFERENCE, FOUND, WHOLE, collar_each_side_s=0.5)
    assert parts_of(errors) == pytest.approx([0.5, 0.5, 1.5, 5])


def test_overlapped_speech_is_scored_for_each_speaker() -> None:
    both: list[Turn] = [(0.0, 5.0, "A"), (0.0, 5.0, "B")]
    errors = diarization_errors(both, [(0.0, 5.0, "x")], WHOLE, collar_each_side_s=0.0)
    assert parts_of(errors) == pytest.approx([5, 0, 0, 10])


def test_only_scored_regions_count() -> None:
    errors = diarization_errors(REFERENCE, FOUND, [(0.0, 2.0), (8.0, 10.0)], collar_each_side_s=0.0)
    assert parts_of(errors) == pytest.approx([1, 1, 0, 2])


def test_a_voice_is_there_once_where_its_turns_overlap() -> None:
    doubled = [*REFERENCE, (1.0, 3.5, "A"), (4.0, 4.5, "A")]
    assert list(join_turns(doubled)) == [(0.0, 4.5, "A"), (3.0, 8.0, "B")]
    errors = diarization_errors(doubled, [(0.0, 4.5, "x"), (3.0, 8.0, "y")], WHOLE, collar_each_side_s=0.0)
    assert parts_of(errors) == pytest.approx([0, 0, 0, 9.5])


def test_the_jaccard_error_is_that_worked_by_hand() -> None:
    """A with x: 3 s of 4 in common, 1/4. B with y: 3 s of 5 in common, 2/5. z belongs to nobody."""
    sums = jaccard_error_sums(REFERENCE, FOUND, WHOLE)
    assert sums.tolist() == pytest.approx([1 / 4 + 2 / 5, 2])


@pytest.mark.skipif(not AMI.exists(), reason=f"no clips of the AMI corpus in {AMI.name}")
@pytest.mark.parametrize("collar_s", [0.0, 0.25])
def test_real_meetings_have_the_seconds_that_spyder_counts(collar_s: float) -> None:
    turns = read_turns()
    assert len(turns) == 10
    for number, recording in enumerate(sorted(turns)):
        result = spoil(turns[recording], number)
        found = diarization_errors(turns[recording], result, [(0.0, 30.0)], collar_each_side_s=collar_s)
        assert np.abs(np.array(parts_of(found)) - REFERENCES[f"{recording} {collar_s}"]).max() < 1e-3, recording


def test_what_has_no_rate_is_refused_and_may_be_added_to_others() -> None:
    silent = diarization_errors([], [(0.0, 1.0, "x")], WHOLE, collar_each_side_s=0.0)
    with pytest.raises(BadDataError, match=r"METRIC_UNDEFINED: DER: nobody speaks in the reference; found 1.00 s"):
        _ = silent.rate
    right = diarization_errors(REFERENCE, REFERENCE, WHOLE, collar_each_side_s=0.0)
    assert (silent + right).rate == pytest.approx(1 / 9)
    missed = diarization_errors(REFERENCE, [], WHOLE, collar_each_side_s=0.0)
    assert missed.rate == 1.0


def test_turns_and_regions_that_end_before_they_start_are_refused() -> None:
    with pytest.raises(BadDataError, match=r"METRIC_MISFIT: DER: a turn of A ends at 1.0 s; it starts at 2.0 s"):
        diarization_errors([(2.0, 1.0, "A")], FOUND, WHOLE, collar_each_side_s=0.0)
    with pytest.raises(BadDataError, match=r"METRIC_MISFIT: DER: a scored region ends at 0.0 s"):
        diarization_errors(REFERENCE, FOUND, [(3.0, 0.0)], collar_each_side_s=0.0)
    with pytest.raises(BadDataError, match=r"METRIC_UNDEFINED: DER: no region is scored"):
        diarization_errors(REFERENCE, FOUND, [], collar_each_side_s=0.0)
    with pytest.raises(ValueError, match="at least 0; found -1"):
        diarization_errors(REFERENCE, FOUND, WHOLE, collar_each_side_s=-1)
