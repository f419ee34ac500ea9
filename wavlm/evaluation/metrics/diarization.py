"""Diarization error rate (DER) and Jaccard error rate (JER) of one recording, by pyannote.metrics.

Overlapped speech is scored. Only what lies in the scored regions (UEM) counts. The collar is what is left out on each
side of every boundary of the reference, as in NIST's md-eval, dscore and the tables of papers: "collar 0.25" there is
`collar_each_side_s=0.25` here. The `collar` of pyannote.metrics is both sides together, so it is given twice that.
Turns of one speaker that overlap or touch are joined first, in both: a voice is there once.

JER (DIHARD II, Ryant et al. 2019): the mean over reference speakers of 1 - intersection / union with the speaker that
each is mapped to; without a collar.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import groupby
from operator import add
from typing import Any

import numpy as np

from wavlm.evaluation.metrics.checks import Floats, misfit, undefined
from wavlm.evaluation.metrics.libraries import load_scorer

Turn = tuple[float, float, str]  # start_s, end_s, speaker
Region = tuple[float, float]  # start_s, end_s


@dataclass(frozen=True)
class DiarizationErrors:
    """Seconds of a recording, or of several ones added up. Overlapped speech counts once per speaker."""

    missed_s: float
    false_alarm_s: float
    confusion_s: float
    total_s: float  # of reference speech

    def __add__(self, other: DiarizationErrors) -> DiarizationErrors:
        return DiarizationErrors(
            self.missed_s + other.missed_s,
            self.false_alarm_s + other.false_alarm_s,
            self.confusion_s + other.confusion_s,
            self.total_s + other.total_s,
        )

    @property
    def sums(self) -> Floats:
        """Numbers whose sums over recordings give the rate: seconds of errors, and of reference speech (2,)."""
        return np.array([self.missed_s + self.false_alarm_s + self.confusion_s, self.total_s])

    @property
    def rate(self) -> float:
        """The DER: seconds of errors by seconds of reference speech. It may be above 1."""
        errors_s, total_s = self.sums
        if not total_s:
            raise undefined(
                "DER: nobody speaks in the reference",
                f"found {self.false_alarm_s:.2f} s of false alarm in 0 s of scored speech",
                "add the errors of several recordings before the rate is taken, or check turns and scored regions",
            )
        return float(errors_s / total_s)


def diarization_errors(
    reference: Sequence[Turn], found: Sequence[Turn], scored: Sequence[Region], *, collar_each_side_s: float
) -> DiarizationErrors:
    """The parts of the DER of a recording, with the best one-to-one mapping of speakers.

    Raises BadDataError (METRIC_MISFIT) where a turn or region does not end behind its start.
    """
    if collar_each_side_s < 0:
        raise ValueError(f"collar_each_side_s is at least 0; found {collar_each_side_s}")
    metrics = load_scorer("pyannote.metrics.diarization")
    metric = metrics.DiarizationErrorRate(collar=2 * collar_each_side_s, skip_overlap=False)
    parts = metric(_annotation(reference), _annotation(found), uem=_timeline(scored), detailed=True)
    return DiarizationErrors(
        float(parts["missed detection"]), float(parts["false alarm"]), float(parts["confusion"]), float(parts["total"])
    )


def jaccard_error_sums(reference: Sequence[Turn], found: Sequence[Turn], scored: Sequence[Region]) -> Floats:
    """Numbers whose sums over recordings give the JER: errors of reference speakers, and how many they are (2,)."""
    metrics = load_scorer("pyannote.metrics.diarization")
    parts = metrics.JaccardErrorRate(collar=0.0, skip_overlap=False)(
        _annotation(reference), _annotation(found), uem=_timeline(scored), detailed=True
    )
    return np.array([parts["speaker error"], parts["speaker count"]], dtype=np.float64)


@dataclass(frozen=True)
class ScoredRecording:
    """What was found in a recording, and what is right."""

    reference: Sequence[Turn]
    found: Sequence[Turn]
    scored: Sequence[Region]

    @property
    def num_speakers(self) -> int:
        """Speakers of the reference."""
        return len({name for *_, name in self.reference})


@dataclass(frozen=True)
class SpeakerCountScore:
    """Recordings with so many speakers: errors at each collar, and the JER, which has none."""

    speakers: int | None  # None: all recordings
    recordings: int
    rates: dict[float, float]  # DER by collar, in seconds on each side of a boundary
    jer: float
    found_right: int  # recordings in which as many speakers were found as there are


def score_by_speakers(
    recordings: Sequence[ScoredRecording], collars_each_side_s: Sequence[float]
) -> list[SpeakerCountScore]:
    """DER and JER of recordings by their number of speakers, in order, and of all of them: the last one."""
    groups: dict[int | None, list[ScoredRecording]] = {
        count: [it for it in recordings if it.num_speakers == count]
        for count in sorted({it.num_speakers for it in recordings} - {0})
    }
    return [
        _score_group(count, group, collars_each_side_s) for count, group in (groups | {None: list(recordings)}).items()
    ]


def _score_group(count: int | None, group: Sequence[ScoredRecording], collars: Sequence[float]) -> SpeakerCountScore:
    jaccard = np.sum([jaccard_error_sums(it.reference, it.found, it.scored) for it in group], axis=0)
    rates = {}
    for collar in collars:
        errors = [diarization_errors(it.reference, it.found, it.scored, collar_each_side_s=collar) for it in group]
        rates[collar] = reduce(add, errors).rate
    right = sum(it.num_speakers == len({name for *_, name in it.found}) for it in group)
    return SpeakerCountScore(count, len(group), rates, float(jaccard[0] / jaccard[1]), right)


def join_turns(turns: Sequence[Turn]) -> Iterator[Turn]:
    """Turns by speaker and time; those of one speaker that overlap or touch become one."""
    for start_s, end_s, speaker in turns:
        if not end_s > start_s >= 0:
            raise misfit(
                f"DER: a turn of {speaker} ends at {end_s} s", f"it starts at {start_s} s", "correct the list of turns"
            )
    for speaker, group in groupby(sorted(turns, key=lambda turn: (turn[2], *turn[:2])), key=lambda turn: turn[2]):
        (start_s, end_s, _), *later = group
        for next_start_s, next_end_s, _ in later:
            if next_start_s > end_s:
                yield start_s, end_s, speaker
                start_s, end_s = next_start_s, next_end_s
            end_s = max(end_s, next_end_s)
        yield start_s, end_s, speaker


def _annotation(turns: Sequence[Turn]) -> Any:
    core = load_scorer("pyannote.core")
    annotation = core.Annotation()
    for number, (start_s, end_s, speaker) in enumerate(join_turns(turns)):
        annotation[core.Segment(start_s, end_s), number] = speaker
    return annotation


def _timeline(regions: Sequence[Region]) -> Any:
    core = load_scorer("pyannote.core")
    for start_s, end_s in regions:
        if not end_s > start_s >= 0:
            raise misfit(f"DER: a scored region ends at {end_s} s", f"it starts at {start_s} s", "correct the UEM")
    if not regions:
        raise undefined("DER: no region is scored", "expected at least one", "give the whole recording, or its UEM")
    return core.Timeline([core.Segment(start_s, end_s) for start_s, end_s in regions]).support()
