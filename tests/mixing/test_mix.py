"""Mixing, measured on its output against closed forms in float64 (docs/algorithm.md section 12)."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.mini_shards import Spoken, write_shards
from wavlm.errors import BadDataError
from wavlm.mixing.audio_pool import AudioPool
from wavlm.mixing.mix import NUM_DRAWS, Event, Mixed, mix, mix_waveforms
from wavlm.rng import stream_seeds, uniforms
from wavlm.specs import MixSpec

pytestmark = pytest.mark.numeric

ALL = MixSpec(name="all", probability=1.0)
N = 4001


def make_crops(count: int = 5, samples: int = N, seed: int = 0) -> np.ndarray:
    """Noise of very different levels, (B, N)."""
    rng = np.random.default_rng(seed)
    levels = 10 ** rng.uniform(-3, -0.5, (count, 1))
    return (levels * rng.standard_normal((count, samples))).astype(np.float32)


def keys_of(count: int) -> list[str]:
    return [f"utterance-{number}" for number in range(count)]


def collect_events(spec: MixSpec, epochs: int, count: int = 5, pool: AudioPool | None = None) -> list[Event]:
    waveforms = make_crops(count)
    epochs_mixed = (mix_waveforms(waveforms, keys_of(count), e, 0, spec, pool) for e in range(epochs))
    return [event for mixed in epochs_mixed for event in mixed.events]


def power(waveform: np.ndarray) -> float:
    return float(np.mean(waveform.astype(np.float64) ** 2))


def measure_ratio_db(clean: np.ndarray, mixed: np.ndarray, source: np.ndarray, event: Event) -> float:
    """Energy ratio by the factor that was really applied, found by least squares."""
    end = event.start_samples + event.num_samples
    added = (mixed.astype(np.float64) - clean)[event.start_samples : end]
    used = source.astype(np.float64)[event.source_start_samples :][: event.num_samples]
    factor = float(added @ used / (used @ used))
    return float(10 * np.log10(power(clean) / (factor**2 * power(source))))


@pytest.fixture
def clips(tmp_path: Path) -> dict[str, np.ndarray]:
    """Noise clips, the second far shorter than half an utterance; exact in 16 bits."""
    rng = np.random.default_rng(9)
    return {
        name: (rng.integers(-8000, 8000, samples) / 32768).astype(np.float32)
        for name, samples in (("long", 9000), ("short", 500))
    }


@pytest.fixture
def pool(clips: dict[str, np.ndarray], tmp_path: Path) -> AudioPool:
    spoken = [Spoken(key, "", waveform) for key, waveform in clips.items()]
    return AudioPool([write_shards(tmp_path / "noise", spoken)], "train")


def test_utterances_are_mixed_at_exactly_the_ratio_that_the_events_say() -> None:
    waveforms = make_crops()
    checked = 0
    for epoch in range(40):
        mixed = mix_waveforms(waveforms, keys_of(5), epoch, 0, ALL)
        for row, event in enumerate(mixed.events):
            if event.num_samples < 10:
                continue
            source = waveforms[int(event.source[-1])]
            found = measure_ratio_db(waveforms[row], mixed.waveforms[row], source, event)
            assert found == pytest.approx(event.ratio_db, abs=0.01)
            checked += 1
    assert checked > 190


def test_noise_is_mixed_at_the_ratio_of_the_whole_clip(pool: AudioPool, clips: dict[str, np.ndarray]) -> None:
    spec = MixSpec(name="noise", probability=1.0, noise_probability=1.0)
    waveforms = make_crops()
    seen = Counter[str]()
    for epoch in range(20):
        mixed = mix_waveforms(waveforms, keys_of(5), epoch, 0, spec, pool)
        for row, event in enumerate(mixed.events):
            assert event.kind == "noise"
            assert event.num_samples <= min(N // 2, len(clips[event.source]))
            if event.num_samples < 10:
                continue
            found = measure_ratio_db(waveforms[row], mixed.waveforms[row], clips[event.source], event)
            assert found == pytest.approx(event.ratio_db, abs=0.01)
            seen[event.source] += 1
    assert min(seen["long"], seen["short"]) > 30


def test_outside_the_region_nothing_changes() -> None:
    waveforms = make_crops()
    mixed = mix_waveforms(waveforms, keys_of(5), 0, 0, ALL)
    for row, event in enumerate(mixed.events):
        changed = np.flatnonzero(mixed.waveforms[row] != waveforms[row])
        assert event.start_samples <= changed.min()
        assert changed.max() < event.start_samples + event.num_samples


def test_partners_are_added_as_they_were_before_mixing() -> None:
    """The reference mixes in place, so a partner may already be mixed there."""
    waveforms = make_crops()
    for epoch in range(10):
        mixed = mix_waveforms(waveforms, keys_of(5), epoch, 0, ALL)
        for row, event in enumerate(mixed.events):
            expected = waveforms[row].astype(np.float64)
            source = waveforms[int(event.source[-1])].astype(np.float64)
            region = slice(event.start_samples, event.start_samples + event.num_samples)
            expected[region] += event.scale * source[event.source_start_samples :][: event.num_samples]
            np.testing.assert_allclose(mixed.waveforms[row], expected, rtol=1e-5, atol=1e-7)


def test_int16_samples_and_amplitudes_are_mixed_to_the_same_bits(pool: AudioPool) -> None:
    spec = MixSpec(name="noise", probability=0.8, noise_probability=0.3)
    pcm = np.rint(make_crops(samples=20011) * 32768).clip(-32768, 32767).astype(np.int16)
    waveforms = pcm / np.float32(32768)
    for epoch in range(20):
        mixed = mix_waveforms(waveforms, keys_of(5), epoch, 0, spec, pool)
        numbers = uniforms(stream_seeds(0, ("mix", epoch), keys_of(5)), NUM_DRAWS)
        found = mix(pcm, keys_of(5), numbers, spec, pool)
        assert tuple(event for event, _ in found) == mixed.events
        expected = waveforms.copy()
        for event, change in found:
            assert change.start_samples == event.start_samples
            assert len(change.waveform) == event.num_samples
            expected[change.row, change.start_samples :][: event.num_samples] = change.waveform
        np.testing.assert_array_equal(mixed.waveforms, expected)


def test_the_input_is_left_alone() -> None:
    waveforms = make_crops()
    before = waveforms.copy()
    mix_waveforms(waveforms, keys_of(5), 0, 0, ALL)
    np.testing.assert_array_equal(waveforms, before)


@pytest.mark.parametrize("probability", [0.0, 0.2, 1.0])
def test_as_many_utterances_are_mixed_as_the_spec_says(probability: float) -> None:
    spec = MixSpec(name="some", probability=probability)
    share = len(collect_events(spec, 1000)) / 5000
    assert share == pytest.approx(probability, abs=4 * np.sqrt(0.25 / 5000))


def test_as_many_mixes_are_noise_as_the_spec_says(pool: AudioPool) -> None:
    spec = MixSpec(name="noisy", probability=1.0, noise_probability=0.1)
    kinds = Counter(event.kind for event in collect_events(spec, 400, pool=pool))
    assert kinds["noise"] / 2000 == pytest.approx(0.1, abs=4 * np.sqrt(0.09 / 2000))
    assert kinds["speech"] + kinds["noise"] == 2000


def test_regions_are_a_quarter_of_an_utterance_on_average_and_anywhere_in_it() -> None:
    events = collect_events(ALL, 1000)
    lengths = np.array([event.num_samples for event in events])
    assert lengths.mean() / N == pytest.approx(0.25, abs=4 * 0.5 / np.sqrt(12 * 5000))
    assert lengths.min() < 0.002 * N
    assert 0.498 * N < lengths.max() <= N // 2
    for starts in (
        np.array([event.start_samples for event in events]),
        np.array([event.source_start_samples for event in events]),
    ):
        relative = starts / (N - lengths)  # uniform in [0, 1], whatever the length
        deciles = np.histogram(relative, 10, (0, 1))[0] / len(relative)
        assert np.abs(deciles - 0.1).max() < 4 * np.sqrt(0.09 / 5000)
    both = [[event.start_samples, event.source_start_samples] for event in events if event.num_samples < N / 20]
    assert abs(np.corrcoef(np.transpose(both))[0, 1]) < 4 / np.sqrt(len(both))


def test_ratios_are_uniform_between_the_bounds() -> None:
    ratios = np.array([event.ratio_db for event in collect_events(ALL, 1000)])
    assert -5 <= ratios.min() < -4.9
    assert 4.9 < ratios.max() <= 5
    assert np.histogram(ratios, 5)[0] / len(ratios) == pytest.approx(0.2, abs=0.03)


def test_partners_are_uniform_and_never_the_utterance_itself() -> None:
    pairs = Counter((event.key, event.source) for event in collect_events(ALL, 2000))
    assert len(pairs) == 20
    assert all(key != source for key, source in pairs)
    assert np.array(list(pairs.values())) / 2000 == pytest.approx(0.25, abs=0.045)


def test_as_in_the_reference_an_utterance_may_meet_itself_if_asked_for() -> None:
    spec = MixSpec(name="self", probability=1.0, exclude_self=False)
    events = collect_events(spec, 1000)
    itself = sum(event.key == event.source for event in events) / len(events)
    assert itself == pytest.approx(0.2, abs=0.025)


def test_a_lone_utterance_meets_only_noise(pool: AudioPool) -> None:
    assert collect_events(ALL, 20, count=1) == []
    spec = MixSpec(name="noisy", probability=1.0, noise_probability=0.5)
    kinds = Counter(event.kind for event in collect_events(spec, 200, count=1, pool=pool))
    assert set(kinds) == {"noise"}
    assert 70 < kinds["noise"] < 130


@pytest.mark.parametrize("silent", [0, 1])
def test_silence_gives_no_infinite_level(silent: int) -> None:
    waveforms = make_crops(2)
    waveforms[silent] = 0
    mixed = mix_waveforms(waveforms, keys_of(2), 0, 0, ALL)
    assert [event.scale for event in mixed.events] == [0.0, 0.0]
    np.testing.assert_array_equal(mixed.waveforms, waveforms)


def same(first: Mixed, second: Mixed) -> bool:
    return first.events == second.events and np.array_equal(first.waveforms, second.waveforms)


def test_the_result_depends_on_micro_batch_seed_and_epoch_alone() -> None:
    waveforms, keys = make_crops(), keys_of(5)
    once = mix_waveforms(waveforms, keys, 3, 7, ALL)
    np.random.default_rng(1).random(10)
    assert same(once, mix_waveforms(waveforms, keys, 3, 7, ALL))
    assert not same(once, mix_waveforms(waveforms, keys, 4, 7, ALL))
    assert not same(once, mix_waveforms(waveforms, keys, 3, 8, ALL))


def test_an_utterance_draws_the_same_whatever_else_is_in_the_micro_batch() -> None:
    waveforms, keys = make_crops(), keys_of(5)
    others = ["utterance-0", "a", "b", "c", "d"]
    (first, *_), (second, *_) = (mix_waveforms(waveforms, names, 0, 0, ALL).events for names in (keys, others))
    assert first.ratio_db == second.ratio_db
    assert first.start_samples == second.start_samples
    assert keys.index(first.source) == others.index(second.source)


def test_noise_without_recordings_is_refused(tmp_path: Path) -> None:
    spec = MixSpec(name="noisy", probability=1.0, noise_probability=0.5)
    with pytest.raises(ValueError, match="noisy mixes in noise, but there is no noise"):
        mix_waveforms(make_crops(), keys_of(5), 0, 0, spec)
    empty = write_shards(tmp_path / "empty", [])
    with pytest.raises(BadDataError, match=r"CLIPS_EMPTY: found no recording to draw from; in .*empty"):
        AudioPool([empty], "train")


def test_recordings_of_the_split_are_drawn_or_all_where_there_is_no_such_split(tmp_path: Path) -> None:
    def clip(key: str, split: str) -> Spoken:
        return Spoken(key, "", np.full(100, 0.5, np.float32), None, split)

    split = write_shards(tmp_path / "split", [clip("a", "train"), clip("b", "valid")])
    whole = write_shards(tmp_path / "whole", [clip("c", "train"), clip("d", "train")])
    pool = AudioPool([split, whole], "valid")
    assert [pool.draw(number)[0] for number in (0.0, 0.4, 0.999)] == ["b", "c", "d"]
