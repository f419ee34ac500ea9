"""What a file sounds like, against sounds that are made to have it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from tests.field.speech import Samples, speech
from wavlm.execution.progress import no_progress
from wavlm.pipeline.init.heads import read_heads
from wavlm.pipeline.init.sound import FileSound, listen_to, listen_to_some


def heard(folder: Path, samples: Samples, rate_hz: int = 16000) -> FileSound:
    soundfile.write(folder / "a.wav", samples, rate_hz, subtype="PCM_16")
    return listen_to(folder / "a.wav")


def test_clean_speech_has_nothing_to_remark(tmp_path: Path) -> None:
    sound = heard(tmp_path, speech(8.0))
    assert sound.clipped == 0
    assert abs(sound.offset) < 0.001
    assert sound.bandwidth_hz > 5000
    assert 0 < sound.quiet < 0.7
    assert sound.seconds == pytest.approx(8.0)


def test_telephone_speech_is_found_behind_a_higher_rate(tmp_path: Path) -> None:
    narrow = soxr.resample(soxr.resample(speech(8.0), 16000, 8000), 8000, 16000)
    assert 2000 < heard(tmp_path, narrow).bandwidth_hz < 4100


def test_clipping_and_offset_are_measured(tmp_path: Path) -> None:
    loud = np.clip(40 * speech(4.0), -1, 1)
    assert heard(tmp_path, loud).clipped > 0.01
    assert heard(tmp_path, speech(4.0) * 0.5 + 0.1).offset == pytest.approx(0.1, abs=0.01)


def test_a_single_peak_is_not_clipping(tmp_path: Path) -> None:
    samples = speech(4.0) / np.abs(speech(4.0)).max()
    assert heard(tmp_path, samples).clipped == 0


def test_digital_silence_has_no_bandwidth(tmp_path: Path) -> None:
    sound = heard(tmp_path, np.zeros(32000))
    assert sound.bandwidth_hz == 0
    assert sound.quiet == 1


def test_channels_are_compared(tmp_path: Path) -> None:
    one, other = speech(5.0), speech(5.0, 10.0)
    assert abs(heard(tmp_path, np.stack([one, other], axis=1)).correlation) < 0.3
    assert heard(tmp_path, np.stack([one, one], axis=1)).correlation > 0.99
    assert heard(tmp_path, np.stack([one, -one], axis=1)).correlation < -0.99


def test_a_sample_is_the_same_each_time_and_has_at_most_a_hundred_files(tmp_path: Path) -> None:
    for number in range(130):
        soundfile.write(tmp_path / f"{number:03}.wav", speech(0.5, number / 10), 16000, subtype="PCM_16")
    heads = read_heads(sorted(tmp_path.glob("*.wav")), 2, no_progress, 0)
    first, again = (listen_to_some(heads, no_progress, stall_seconds=0) for _ in range(2))
    assert [file.path for file in first.files] == [file.path for file in again.files]
    assert len(first.files) == 100
