"""A pair to listen to: two WAV files, and their spectrograms with the clean one above."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from wavlm.mixing import listen
from wavlm.mixing.truth import Truth, write_truth


def test_a_pair_is_written_as_it_is_and_drawn_in_its_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[str, ...]] = []
    monkeypatch.setattr(listen, "plot_mixture", lambda *paths: drawn.append(tuple(path.name for path in paths)))
    clean, mixed = (np.array([0.5, value], np.float32) for value in (-0.25, 0.75))
    for _ in range(2):  # into a folder that is there, too
        listen.write_pair(tmp_path / "listen", "a", clean, mixed)
    assert drawn == [("a.clean.wav", "a.mixed.wav", "a.png")] * 2
    for name, waveform in (("a.clean.wav", clean), ("a.mixed.wav", mixed)):
        found, rate_hz = soundfile.read(tmp_path / "listen" / name, dtype="float32")
        assert rate_hz == 16000
        np.testing.assert_array_equal(found, waveform)
        assert soundfile.info(tmp_path / "listen" / name).subtype == "PCM_16"


def truth(**changes: object) -> Truth:
    fields = {
        "key": "m", "primary": "p", "primary_sha256": "0", "primary_speaker": "anna", "first_frame": 3,
        "num_samples": 32000, "kind": "speech", "secondary": "s", "secondary_speaker": "ben", "start_samples": 8000,
        "end_samples": 20000, "loudest_samples": 9000, "source_start_samples": 0, "ratio_db": 1.5, "scale": 0.5,
        "gain": 1.0, "effects": "",
    }  # fmt: skip
    return Truth(**{**fields, **changes})  # type: ignore[arg-type]


def test_who_speaks_when_is_in_seconds(tmp_path: Path) -> None:
    """RTTM of NIST: type, file, channel, onset, duration, and the name."""
    noise = truth(key="n", kind="noise", secondary="bang", secondary_speaker="")
    write_truth(tmp_path, [truth(), noise, truth(key="e", start_samples=7, end_samples=7)])
    assert (tmp_path / "mixtures.rttm").read_text().splitlines() == [
        "SPEAKER m 1 0.0000 2.0000 <NA> <NA> anna <NA> <NA>",
        "SPEAKER m 1 0.5000 0.7500 <NA> <NA> ben <NA> <NA>",
        "SPEAKER n 1 0.0000 2.0000 <NA> <NA> anna <NA> <NA>",
        "NON-SPEECH n 1 0.5000 0.7500 <NA> <NA> bang <NA> <NA>",
        "SPEAKER e 1 0.0000 2.0000 <NA> <NA> anna <NA> <NA>",
    ]
