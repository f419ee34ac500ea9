"""Voice conversion: spectra and distortions worked by hand, who is trained on and who is scored, and that it learns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.evaluation.core.made import MadeFeatures
from tests.evaluation.generation.recordings import corpus_of, speech
from tests.mini_shards import Spoken
from wavlm.errors import BadDataError
from wavlm.evaluation.fit.head import Sets, fit_head, predict
from wavlm.evaluation.labelled import LabelledCorpus
from wavlm.evaluation.tasks.conversion import Conversion
from wavlm.evaluation.tasks.mel import HOP, NUM_BANDS, RATE_HZ, distortion_db, log_mel
from wavlm.evaluation.tasks.referenced import Referenced
from wavlm.evaluation.tasks.task import Size, read_batch
from wavlm.specs.evaluation import FitSpec
from wavlm.specs.generation import VoiceConversion
from wavlm.specs.heads import ConverterHead

HEAD = ConverterHead(type="converter", hidden=16)
TASK = Conversion(VoiceConversion(type="vc", speaker="ann"), HEAD)
WORDS = [f"word{number}" for number in range(5)]
SIZE = Size(2, 12, 320)


def words_of(folder: Path, speakers: tuple[str, ...] = ("ann", "bob", "cid")) -> LabelledCorpus:
    """Five words of each speaker: stretches of real speech, one speaker each, which need not be those words."""
    voices = speech(1.0, len(speakers))
    spoken = [
        Spoken(f"{name}-{word}", name, voice.waveform[3200 * number : 3200 * (number + 1)])
        for name, voice in zip(speakers, voices, strict=True)
        for number, word in enumerate(WORDS)
    ]
    return corpus_of(folder, spoken, targets={item.key: {"class": item.key.partition("-")[2]} for item in spoken})


def test_a_tone_is_in_the_band_of_its_frequency() -> None:
    """Of 80 bands between 80 and 7,600 Hz: mel(hz) = 2595 log10(1 + hz / 700), edges evenly apart."""
    spectra = log_mel(np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000).astype(np.float32))
    assert spectra.shape == (RATE_HZ // HOP + 1, NUM_BANDS)
    lowest, tone, highest = (2595 * np.log10(1 + hz / 700) for hz in (80, 1000, 7600))
    assert spectra[40].argmax() == round((tone - lowest) / (highest - lowest) * 81) - 1


def test_the_distortion_is_that_worked_by_hand() -> None:
    """A level that is higher by g changes coefficient 0 alone, by g: (10 / ln 10) sqrt(2) g. Repeating is free."""
    spectra = np.random.default_rng(0).normal(size=(6, NUM_BANDS)) * 0.05
    assert distortion_db(spectra, spectra) == pytest.approx(0, abs=1e-9)
    assert distortion_db(spectra, spectra.repeat(3, axis=0)) == pytest.approx(0, abs=1e-9)
    one = spectra[:1]
    gain = 0.3  # log10
    assert distortion_db(one, one + gain) == pytest.approx(10 / np.log(10) * np.sqrt(2) * gain * np.log(10))
    with pytest.raises(BadDataError, match="METRIC_UNDEFINED"):
        distortion_db(spectra, np.full((6, NUM_BANDS), -10.0))


def test_the_voice_is_trained_on_and_others_are_scored_by_words_of_no_other_part(tmp_path: Path) -> None:
    corpus = words_of(tmp_path / "words")
    examples = TASK.collect([corpus])
    of_part = {part: [item for item in examples if item.part == part] for part in ("train", "dev", "test")}
    assert [len(items) for items in of_part.values()] == [3, 1, 2]
    assert {item.speaker for item in (*of_part["train"], *of_part["dev"])} == {"ann"}
    assert {item.speaker for item in of_part["test"]} == {"bob", "cid"}
    words = [{item.key.rpartition("-")[2] for item in items} for items in of_part.values()]
    assert sum(map(len, words)) == len(set.union(*words)) == 5
    for item in of_part["test"]:
        assert isinstance(item.target, dict)
        assert item.target["reference"] == f"ann-{item.key.rpartition('-')[2]}"


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    corpus = words_of(tmp_path / "words")
    with pytest.raises(BadDataError, match="TARGET_MISSING: no recording is of the speaker dan, found ann, bob, cid"):
        Conversion(VoiceConversion(type="vc", speaker="dan"), HEAD).collect([corpus])
    rows = [row for row in corpus.rows if row.key != "ann-word0"]
    vars(corpus)["rows"] = tuple(replace(row, part="test" if row.key == "bob-word0" else "train") for row in rows)
    with pytest.raises(BadDataError, match="TARGET_MISSING: the speaker has no recording of 'word0', which bob-word0"):
        TASK.collect([corpus])
    vars(corpus)["rows"] = tuple(replace(row, target={}) for row in rows)
    with pytest.raises(BadDataError, match=r"TARGET_MISSING: what [a-z0-9-]+ says is not known"):
        TASK.collect([corpus])


@pytest.mark.full
def test_the_voice_is_learned_and_converts_alike_alone_and_in_a_batch(tmp_path: Path) -> None:
    """Features are the speaker's own words, told apart by a channel and the place in the word."""
    examples = TASK.collect([words_of(tmp_path / "words")])
    rng, values = np.random.default_rng(0), {}
    for item in examples:
        frames = rng.normal(size=(2, (item.num_samples - 400) // 320 + 1, 12)).astype(np.float32)
        frames[1] = 0
        frames[1, :, WORDS.index(item.key.rpartition("-")[2])] = 1
        frames[1, :, 6] = np.linspace(-1, 1, frames.shape[1])
        values[item.key] = frames
    features = MadeFeatures(values)
    train = [item for item in examples if item.part == "train"]
    trainee = TASK.begin(train, ())
    fit = FitSpec(learning_rates=(1e-2,), updates=40, batch=3, dev_every=40)
    fitted = fit_head(trainee, Sets(train, train, features, SIZE), fit, 1e-2, 0, tmp_path / "fit")
    fresh = trainee.make_head(SIZE).eval()
    after, before = (
        trainee.score(train, predict(trainee, head, train, features, "cpu"))[0].value for head in (fitted.head, fresh)
    )
    assert after < 0.7 * before
    with torch.inference_mode():
        together = trainee.predict(fitted.head, read_batch(train, features, "cpu"))
    for item, expected in zip(train, together, strict=True):
        assert isinstance(item, Referenced)
        (alone,) = predict(trainee, fitted.head, [item], features, "cpu")
        assert isinstance(alone, dict)
        assert isinstance(expected, dict)
        assert alone["mel_mcd"] == pytest.approx(expected["mel_mcd"], rel=1e-3)
        assert alone["unconverted"] == pytest.approx(0, abs=1e-6)  # the speaker's own
