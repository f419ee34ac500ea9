"""Spectrograms on the page of a report: low frequencies below, seconds and kHz along the edges, one scale for both."""

from __future__ import annotations

import numpy as np
import pytest

from tests.pictures import watch_pictures
from wavlm.pipeline.report.content import ListeningPair
from wavlm.pipeline.report.sound import BINS, _draw


def test_both_pictures_have_one_scale_and_low_frequencies_below(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = watch_pictures(monkeypatch)
    times_s = np.arange(32000) / 16000
    quiet, loud = ((amplitude * np.sin(2 * np.pi * 1000 * times_s)).astype(np.float32) for amplitude in (0.01, 0.5))
    fields = {"name": "a pair", "clean": quiet, "mixed": loud, "truth": None, "start_s": 0.0, "sample_rate_hz": 16000}
    names = ListeningPair.__dataclass_fields__
    pair = ListeningPair(**{name: fields.get(name) for name in names})  # type: ignore[arg-type]
    _draw(pair, "sound1", None)
    (one, left), (other, right) = drawn
    assert one.shape[0] == other.shape[0] == BINS
    for levels, options in drawn:
        assert options["origin"] == "lower"
        assert options["extent"] == (0.0, 2.0, 0.0, 8.0)
        assert int(levels.max(axis=1).argmax()) == 1000 // 120
    assert (left["vmin"], left["vmax"]) == (right["vmin"], right["vmax"]) == (other.max() - 80, other.max())
    assert one.max() == pytest.approx(other.max() - 20 * np.log10(50), abs=0.1)
