"""The fixed mixtures: the same every time, as their truth describes them, readable as shards."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.mini_shards import Spoken, write_shards
from wavlm.errors import BadDataError
from wavlm.mixing.build import build_mixtures
from wavlm.mixing.truth import Truth, read_truth
from wavlm.shards import Reader, read_listing, stream, verify_shard
from wavlm.specs import EffectSpec, MixSpec, MixturesSpec

pytestmark = pytest.mark.numeric

SPEC = MixturesSpec(num_utterances=10, max_seconds=4.0)
MIX = MixSpec(name="test", probability=0.2, noise_probability=0.1)


@pytest.fixture(scope="module")
def speech(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of real speech: one or two utterances of each of ten speakers."""
    spoken = []
    for path in sorted((real_data / "speech").glob("*/*.flac")):
        waveform, _ = soundfile.read(path, dtype="float32")
        spoken.append(Spoken(path.stem, path.parent.name, waveform, None, "valid"))
    return write_shards(tmp_path_factory.mktemp("speech"), spoken, per_shard=5)


@pytest.fixture(scope="module")
def noise(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    clips = [
        Spoken(path.stem, "", soundfile.read(path, dtype="float32")[0])
        for path in sorted((real_data / "noise").glob("*.flac"))
    ]
    return write_shards(tmp_path_factory.mktemp("noise"), clips)


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def mixtures(speech: Path, noise: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("mixtures")
    facts = build_mixtures(SPEC, MIX, [speech], [noise], [], out)
    assert facts.utterances == 10
    assert (facts.with_speech, facts.with_noise) == (5, 5)
    samples = sum(item.samples for item in read_listing(out).values())
    assert facts.hours == pytest.approx(samples / 16000 / 3600, abs=1e-6)
    return out


def crop(shards: Path, key: str, first_frame: int, num_samples: int) -> np.ndarray:
    """A part of an utterance, in float64, found by its key."""
    reader = Reader(shards)
    row = list(reader.index.keys).index(key)
    start = first_frame * 320
    return reader.read(row, start, start + num_samples).astype(np.float64)


def find_added(item: Truth, truth: tuple[Truth, ...], speech: Path, noise: Path) -> np.ndarray:
    """The secondary of an utterance according to the truth: the whole crop or noise recording."""
    if item.kind == "noise":
        reader = Reader(noise)
        return reader.read(list(reader.index.keys).index(item.secondary)).astype(np.float64)
    other = next(other for other in truth if other.primary == item.secondary)
    return crop(speech, other.primary, other.first_frame, item.num_samples)


@pytest.mark.slow
def test_each_mixture_is_what_its_truth_says_sample_by_sample(mixtures: Path, speech: Path, noise: Path) -> None:
    truth = read_truth(mixtures)
    found = {item.key: item.waveform for item in stream(mixtures / "mixed-000000.tar")}
    assert list(found) == [item.key for item in truth]
    for item in truth:
        expected = crop(speech, item.primary, item.first_frame, item.num_samples)
        secondary = find_added(item, truth, speech, noise)
        ratio_db = 10 * np.log10(np.mean(expected**2) / (item.scale**2 * np.mean(secondary**2)))
        assert ratio_db == pytest.approx(item.ratio_db, abs=1e-4)
        used = secondary[item.source_start_samples :][: item.end_samples - item.start_samples]
        expected[item.start_samples : item.end_samples] += item.scale * used
        np.testing.assert_allclose(found[item.key], item.gain * expected, atol=1 / 32768)


def test_any_reader_of_shards_reads_them(mixtures: Path) -> None:
    assert verify_shard(mixtures / "mixed-000000.tar") == 10
    reader = Reader(mixtures)
    assert set(reader.index.splits) == {"valid"}
    for row, item in enumerate(stream(mixtures / "mixed-000000.tar")):
        np.testing.assert_array_equal(reader.read(row), item.waveform)


def test_the_truth_in_rttm_says_who_speaks_when(mixtures: Path) -> None:
    truth = {item.key: item for item in read_truth(mixtures)}
    lines = [line.split() for line in (mixtures / "mixtures.rttm").read_text().splitlines()]
    assert all(len(line) == 10 for line in lines)  # NIST's ten fields
    for kind, key, channel, onset, duration, *_, name, _, _ in lines:
        item = truth[key]
        assert channel == "1"
        end_s = float(onset) + float(duration)
        if float(onset) == 0 and name == item.primary_speaker:
            assert end_s == pytest.approx(item.num_samples / 16000, abs=1e-3)
            continue
        assert float(onset) == pytest.approx(item.start_samples / 16000, abs=1e-3)
        assert end_s == pytest.approx(item.end_samples / 16000, abs=1e-3)
        wanted = {
            "speech": ("SPEAKER", item.secondary_speaker),
            "noise": ("NON-SPEECH", item.secondary),
        }
        assert (kind, name) == wanted[item.kind]
    assert len(lines) == 20


def test_there_are_listening_pairs_of_both_kinds(mixtures: Path) -> None:
    truth = {item.key: item for item in read_truth(mixtures)}
    paths = sorted((mixtures / "listen").glob("*.clean.wav"))
    assert 2 <= len(paths) <= 8
    for path in paths:
        item = truth[path.name.removesuffix(".clean.wav")]
        clean, rate_hz = soundfile.read(path)
        mixed, _ = soundfile.read(path.with_name(f"{item.key}.mixed.wav"))
        assert rate_hz == 16000
        assert soundfile.info(path).subtype == "PCM_16"
        changed = np.flatnonzero(clean != mixed)
        assert item.start_samples <= changed.min() <= changed.max() < item.end_samples
        spectrogram = path.with_name(f"{item.key}.png").read_bytes()
        assert spectrogram.startswith(b"\x89PNG")
    assert {truth[path.name.removesuffix(".clean.wav")].kind for path in paths} == {
        "speech",
        "noise",
    }
    assert "gain" in (mixtures / "listen/README.txt").read_text()


@pytest.mark.slow
def test_there_is_a_pair_for_each_effect_and_the_facts_count_what_was_applied(speech: Path, tmp_path: Path) -> None:
    gain = EffectSpec(name="gain", probability=1.0, minimum=-6.0, maximum=0.0)
    clipping = EffectSpec(name="clipping", probability=0.0)
    mix = MIX.model_copy(update={"effects": (gain, clipping)})
    facts = build_mixtures(SPEC.model_copy(update={"num_utterances": 2}), mix, [speech], [], [], tmp_path)
    assert facts.effects == {"gain": 2, "clipping": 0}
    assert [item.effects for item in read_truth(tmp_path)] == ["gain", "gain"]
    pairs = {path.name.split(".")[0] for path in (tmp_path / "listen").glob("effect-*.wav")}
    assert pairs == {"effect-gain", "effect-clipping"}
    clean, quiet = (soundfile.read(tmp_path / f"listen/effect-gain.{name}.wav")[0] for name in ("clean", "mixed"))
    # The strongest gain that the mix allows is heard, not one that was drawn.
    np.testing.assert_allclose(quiet, clean * 10 ** (-6 / 20), atol=1.1 / 32768)


@pytest.mark.full
def test_a_build_that_was_interrupted_ends_with_the_same_bytes(
    mixtures: Path, speech: Path, noise: Path, tmp_path: Path
) -> None:
    def interrupt(done: float, _: float) -> None:
        if done == 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_mixtures(SPEC, MIX, [speech], [noise], [], tmp_path, interrupt)
    assert not (tmp_path / "mixed-000000.tar").exists()
    build_mixtures(SPEC, MIX, [speech], [noise], [], tmp_path)
    assert contents(tmp_path) == contents(mixtures)


def loud(count: int, split: str = "valid") -> list[Spoken]:
    """Square waves at nearly full scale: any mixture of two would clip."""
    times = np.arange(16080)
    waves = [0.95 * np.sign(np.sin(times / (9 + number))) for number in range(count)]
    return [
        Spoken(f"loud-{number}", f"s{number}", wave.astype(np.float32), None, split)
        for number, wave in enumerate(waves)
    ]


@pytest.mark.slow
def test_a_mixture_that_would_clip_is_scaled_down_with_its_clean_half(tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "speech", loud(4))
    out = tmp_path / "mixtures"
    out.mkdir()
    spec = MixturesSpec(num_utterances=4, max_seconds=1.0)
    facts = build_mixtures(spec, MixSpec(name="loud", probability=0.2), [shards], [], [], out)
    assert (facts.with_speech, facts.with_noise) == (4, 0)
    assert facts.turned_down == 4
    for item in read_truth(out):
        assert item.gain < 1
        clean, mixed = (soundfile.read(out / f"listen/{item.key}.{name}.wav")[0] for name in ("clean", "mixed"))
        assert np.abs(mixed).max() == pytest.approx(32767 / 32768, abs=1e-3)
        # Clipping would make runs at full scale; here the sum keeps its four levels.
        assert len(np.unique(np.round(np.abs(mixed), 3))) >= 3
        outside = np.r_[0 : item.start_samples, item.end_samples : item.num_samples]
        np.testing.assert_array_equal(mixed[outside], clean[outside])


def test_only_the_valid_split_is_used_and_too_little_of_it_is_an_error(tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "speech", [*loud(1), *loud(5, "train")[1:]])
    with pytest.raises(BadDataError, match="TOO_FEW_UTTERANCES: 1 utterances in the valid split"):
        build_mixtures(SPEC, MIX, [shards], [], [], tmp_path)


def test_a_damaged_truth_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadDataError, match=r"TRUTH_UNREADABLE.*mixtures\.tsv"):
        read_truth(tmp_path)
    (tmp_path / "mixtures.tsv").write_text("key\tprimary\na\tb\n")
    with pytest.raises(BadDataError, match=r"TRUTH_UNREADABLE.*mixtures\.tsv"):
        read_truth(tmp_path)
