"""Pairs to listen to: found by their names, read whole or refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from wavlm.errors import BadDataError
from wavlm.mixing.listen import write_pair
from wavlm.mixing.pairs import find_pairs


def write(folder: Path, name: str, samples: int = 4000, rate_hz: int = 16000) -> None:
    (folder / "listen").mkdir(exist_ok=True)
    soundfile.write(folder / "listen" / name, np.linspace(-0.5, 0.5, samples), rate_hz, subtype="PCM_16")


def test_pairs_come_back_as_they_were_written_mixtures_before_effects(tmp_path: Path) -> None:
    clean = np.random.default_rng(0).uniform(-1, 1, 5000).astype(np.float32)
    write_pair(tmp_path / "listen", "effect-codec", clean, clean / 4)
    write_pair(tmp_path / "listen", "00007-x", clean, clean / 2)
    mixture, effect = find_pairs(tmp_path)
    assert (mixture.name, mixture.is_effect, effect.name, effect.is_effect) == ("00007-x", False, "codec", True)
    for pair, factor in ((mixture, 2), (effect, 4)):
        found_clean, found_mixed, rate_hz = pair.read()
        assert rate_hz == 16000
        assert np.abs(found_clean - clean).max() <= 2 / 32768  # 16 bits
        assert np.abs(found_mixed - clean / factor).max() <= 2 / 32768


def test_a_folder_without_pairs_has_none(tmp_path: Path) -> None:
    assert find_pairs(tmp_path) == ()


@pytest.mark.parametrize(
    ("mixed", "found"),
    [
        ({"samples": 3999}, "3999 samples, 4000 before mixing"),
        ({"rate_hz": 8000}, "8000 Hz"),
        (None, "at .*mixed.wav"),
        (b"no audio", "at .*mixed.wav"),
    ],
    ids=["shorter", "slower", "missing", "other bytes"],
)
def test_a_pair_that_does_not_fit_is_refused(mixed: dict[str, int] | bytes | None, found: str, tmp_path: Path) -> None:
    write(tmp_path, "a.clean.wav")
    if isinstance(mixed, dict):
        write(tmp_path, "a.mixed.wav", **mixed)
    elif mixed is not None:
        (tmp_path / "listen/a.mixed.wav").write_bytes(mixed)
    (pair,) = find_pairs(tmp_path)
    with pytest.raises(BadDataError, match=f"UNREADABLE: .*{found}.*make the mixtures again"):
        pair.read()
