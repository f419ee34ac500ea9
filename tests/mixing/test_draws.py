"""What is drawn for the fixed mixtures is drawn under the names that stand here: other names are other mixtures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.mini_shards import tones, write_shards
from wavlm.mixing import build
from wavlm.mixing.build import build_mixtures
from wavlm.mixing.effect_pairs import headroom
from wavlm.mixing.effects import apply_effects
from wavlm.mixing.truth import read_truth
from wavlm.rng import rng_for
from wavlm.shards import Reader
from wavlm.specs import EffectSpec, MixSpec, MixturesSpec

pytestmark = pytest.mark.numeric
SEED = 5
GAIN = EffectSpec(name="gain", probability=0.5, minimum=-12.0, maximum=-6.0)


def test_crops_and_effects_are_those_of_the_seed_and_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "write_pair", lambda *_: (tmp_path / "out" / "listen").mkdir(exist_ok=True))
    speech = write_shards(tmp_path / "speech", tones(7, seconds=1.5, split="valid"))
    (tmp_path / "out").mkdir()
    mix = MixSpec(name="much", probability=0.5, effects=(GAIN,))
    build_mixtures(MixturesSpec(num_utterances=6, max_seconds=9.0, seed=SEED), mix, [speech], [], [], tmp_path / "out")
    reader, truths = Reader(speech), list(read_truth(tmp_path / "out"))
    rows = {str(key): row for row, key in enumerate(reader.index.keys)}
    order = rng_for(SEED, "mixtures").permutation(7)[:6]
    chosen = [str(reader.index.keys[number]) for number in sorted(order)]
    frames = {key: (int(reader.index.samples[rows[key]]) - 400) // 320 + 1 for key in chosen}
    assert [item.primary for item in truths] == sorted(chosen, key=lambda key: -frames[key])
    assert [item.key for item in truths] == [f"{number:05d}-{item.primary}" for number, item in enumerate(truths)]
    shortest = min(frames.values())
    for item in truths:
        spare = frames[item.primary] - shortest
        assert item.first_frame == int(rng_for(SEED, "crop", 0, item.primary).integers(spare + 1))
        found = apply_effects(np.ones(4000, np.float32), (GAIN,), rng_for(SEED, "effects", 0, item.key), None)
        assert item.effect_names == found.applied
    assert {item.effects for item in truths} == {"", "gain"}


def test_mixtures_to_listen_to_are_pairs_of_all_lengths() -> None:
    """They lie from the longest to the shortest; each pair is one with speech and one with noise."""
    assert build._choose_listening(100) == {0, 1, 32, 33, 64, 65, 98, 99}
    assert build._choose_listening(2) == {0, 1}
    assert build._choose_listening(1) == {0, 1}


@pytest.mark.parametrize(
    ("peaks", "factor"), [((0.2, 0.4), 1.0), ((0.2, -2.0), 32767 / 65536), ((0.0,), 1.0), ((32767 / 32768,), 1.0)]
)
def test_a_pair_is_scaled_down_only_where_it_would_clip(peaks: tuple[float, ...], factor: float) -> None:
    waveforms = [np.array([0.0, peak], np.float32) for peak in peaks]
    assert headroom(*waveforms) == np.float32(factor)
