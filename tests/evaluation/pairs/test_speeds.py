"""Recordings at other speeds: other voices, of the length and the pitch that the speed gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

from tests.evaluation.pairs.test_verification import HEAD, SPEC, _example
from wavlm.evaluation.examples import cut_audio, takes_of
from wavlm.evaluation.splits import Split
from wavlm.evaluation.tasks.speeds import SpedAudio, at_speeds
from wavlm.evaluation.tasks.verification import Verification
from wavlm.shards import Reader
from wavlm.shards.flac import Waveform
from wavlm.specs import SAMPLE_RATE_HZ

NUM_SAMPLES = 16001


@dataclass(frozen=True)
class Tone:
    """A second of 400 Hz."""

    def load(self, readers: Sequence[Reader]) -> Waveform:
        return np.sin(2 * np.pi * 400 * np.arange(NUM_SAMPLES) / SAMPLE_RATE_HZ).astype(np.float32)


@pytest.mark.parametrize(("speed", "pitch_hz", "num_samples"), [(1.1, 440, 14546), (0.9, 360, 17779)])
def test_a_faster_recording_is_shorter_and_higher(speed: float, pitch_hz: int, num_samples: int) -> None:
    item = at_speeds([replace(_example("a", 0), audio=Tone(), num_samples=NUM_SAMPLES)], [speed])[1]
    assert item.num_samples == num_samples
    waveform = item.audio.load(())
    assert waveform.shape == (num_samples,)
    middle = slice(2000, 12000)  # the resampler's filter rings at the ends
    expected = np.sin(2 * np.pi * pitch_hz * np.arange(num_samples) / SAMPLE_RATE_HZ)
    assert np.abs(waveform[middle] - expected[middle]).max() < 1e-3
    part = cut_audio(item, 3000, 4000)
    assert np.array_equal(part.audio.load(()), waveform[3000:4000])


def test_only_the_train_part_has_other_speeds_and_they_are_voices_of_their_own() -> None:
    task = Verification(SPEC.model_copy(update={"speeds": (0.9, 1.1)}), HEAD)
    parts = [tuple(_example(name, take) for take in range(2)) for name in "abc"]
    split = task.mix(Split("", *parts), ())
    assert (split.dev, split.test) == (parts[1], parts[2])
    assert split.train[:2] == parts[0]
    assert [item.key for item in split.train[2:]] == ["c/a-0@0.9", "c/a-1@0.9", "c/a-0@1.1", "c/a-1@1.1"]
    assert task.begin(split.train, (*split.dev, *split.test)).speakers == ("a", "a@0.9", "a@1.1")
    sped = split.train[2].audio
    assert isinstance(sped, SpedAudio)
    assert list(takes_of(sped)) == [parts[0][0].audio]  # what a model was trained on is still found
    assert sum(item.speaker in ("b", "c") for item in split.train) == 0
