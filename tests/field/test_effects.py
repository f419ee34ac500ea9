"""Effects: every one that a shipped mix has keeps the length, the alignment and the random numbers of others.

People reported: effects that no recipe reached, effects that delay the waveform against its labels (a filter by 33
samples, an MP3 encoder by 1,681), transforms that draw other numbers in other processes, and a package that is
missing in the middle of a training.
"""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.staircases import job_of, write_corpus
from wavlm.errors import ServiceMissingError
from wavlm.loader.samples import TrainingSamples
from wavlm.mixing import effects as effects_module
from wavlm.mixing.effects import apply_effects, packages_of, reverberate
from wavlm.specs import EffectSpec, MixSpec
from wavlm.specs.yaml import read_mix

pytestmark = pytest.mark.numeric

ROOT = Path(__file__).parents[2]
MIXES = {path.stem: read_mix(path) for path in sorted((ROOT / "data_specs/mixes").glob("*.yaml"))}
EFFECTS = [pytest.param(effect, id=f"{name}-{effect.name}") for name, mix in MIXES.items() for effect in mix.effects]
HALF_A_FRAME = 160  # samples, 10 ms


def room(number: float) -> tuple[str, np.ndarray]:
    """A response of 0.3 s: 5 ms of near silence, the direct sound, and a tail that decays by 60 dB in 0.3 s."""
    rng = np.random.default_rng(int(1000 * number))
    tail = 0.03 * rng.standard_normal(4800) * 10 ** (-3 * np.arange(4800) / 4800)
    return "room", np.concatenate([np.full(80, 1e-4), [0.9], tail]).astype(np.float32)


@pytest.fixture(scope="module")
def speech(real_data: Path) -> list[np.ndarray]:
    """Two seconds of each of four speakers."""
    paths = sorted((real_data / "speech").glob("*/*.flac"))
    by_speaker = {path.parent.name: path for path in paths}
    return [soundfile.read(path, dtype="float32", stop=32000)[0] for path in list(by_speaker.values())[:4]]


def lag(first: np.ndarray, second: np.ndarray) -> int:
    """By how many samples the second is later: the peak of the size of the cross-correlation."""
    size = len(first) + len(second)
    spectrum = np.conj(np.fft.rfft(first, size)) * np.fft.rfft(second, size)
    peak = int(np.argmax(np.abs(np.fft.irfft(spectrum, size))))
    return peak if peak < size // 2 else peak - size


def always(effect: EffectSpec) -> EffectSpec:
    return effect.model_copy(update={"probability": 1.0})


@pytest.mark.parametrize("effect", EFFECTS)
def test_length_and_labels_of_real_speech_stay(speech: list[np.ndarray], effect: EffectSpec) -> None:
    for waveform in speech:
        for seed in range(3):
            affected = apply_effects(waveform, (always(effect),), np.random.default_rng(seed), room)
            assert affected.applied == (effect.name,)
            assert affected.waveform.shape == waveform.shape
            assert affected.waveform.dtype == np.float32
            assert np.isfinite(affected.waveform).all()
            assert not np.array_equal(affected.waveform, waveform)
            assert abs(lag(waveform, affected.waveform)) < HALF_A_FRAME


def test_the_measure_finds_a_delay(speech: list[np.ndarray]) -> None:
    assert lag(speech[0], np.concatenate([np.zeros(200, np.float32), speech[0][:-200]])) == 200


@pytest.mark.parametrize("echo_samples", [100, 900])
def test_an_echo_that_is_louder_than_the_direct_sound_delays_by_less_than_half_a_frame(echo_samples: int) -> None:
    """A stage is far, its wall is near: the loudest arrival may come long after the first one."""
    response = np.zeros(2000, np.float32)
    response[[50, 50 + echo_samples]] = 0.6, 1.0
    click = np.zeros(4000, np.float32)
    click[1000] = 0.5
    loudest = int(np.argmax(np.abs(reverberate(click, response))))
    assert 0 <= loudest - 1000 < HALF_A_FRAME


def digest(waveform: np.ndarray, name: str) -> str:
    """sha256 of the waveform after all effects of a mix but the room, each drawn twice."""
    chosen = tuple(always(effect) for effect in MIXES[name].effects if effect.name != "room")
    whole = hashlib.sha256()
    for seed in range(2):
        for effect in chosen:
            whole.update(apply_effects(waveform, (effect,), np.random.default_rng(seed)).waveform.tobytes())
    return whole.hexdigest()


IN_A_PROCESS = """
import random, sys, numpy as np
from tests.field.test_effects import digest
random.seed(7); np.random.seed(7)
print(digest(np.load(sys.argv[1]), "robust"))
"""


@pytest.mark.slow
def test_a_seed_gives_the_same_samples_in_every_process_and_thread(speech: list[np.ndarray], tmp_path: Path) -> None:
    short = speech[0][:16000]
    expected = digest(short, "robust")
    np.save(tmp_path / "speech.npy", short)
    command = [sys.executable, "-c", IN_A_PROCESS, str(tmp_path / "speech.npy")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == expected
    before = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    with ThreadPoolExecutor(4) as threads:
        assert set(threads.map(digest, [short] * 4, ["robust"] * 4)) == {expected}
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before  # noqa: NPY002


@pytest.mark.parametrize(
    ("effect", "message"),
    [
        ({"name": "low_pass", "minimum": 9000.0}, "low_pass: minimum 9000.0 is outside 100 to 7900"),
        ({"name": "gain", "minimum": 6.0, "maximum": -6.0}, "gain: minimum 6.0 is above maximum -6.0"),
        ({"name": "room", "maximum": 0.5}, "room: has no bounds, but maximum is 0.5"),
        ({"name": "mp3", "minimum": 9.0, "maximum": 15.0}, "mp3: no bit rate from 9 to 15 kbit/s"),
        ({"name": "clipping", "minimum": 0.025}, "clipping: bounds 0.025 and 0.1 are not whole percents"),
    ],
)
def test_bounds_that_an_effect_cannot_draw_from_are_refused_when_the_mix_is_read(
    effect: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        EffectSpec.model_validate({"probability": 0.1, **effect})


def test_a_missing_package_is_an_error_before_the_first_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mix = MixSpec(name="mp3", probability=0.0, effects=(EffectSpec(name="mp3", probability=0.1),))
    assert packages_of(mix.effects) == ("audiomentations", "fast_mp3_augment")
    job = job_of((write_corpus(tmp_path, "first", 8),), tmp_path).model_copy(update={"mix": mix})
    monkeypatch.setattr(effects_module, "find_spec", lambda name: None if name == "fast_mp3_augment" else name)
    with pytest.raises(ServiceMissingError, match=r"PACKAGE_MISSING: .*import fast_mp3_augment; in "):
        TrainingSamples(job)
