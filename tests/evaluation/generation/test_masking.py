"""Masks: what they leave unchanged, what they learn, how frames meet the spectrogram, and ratings worked by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pesq
import pytest
import torch

from tests.evaluation.core.made import MadeFeatures
from tests.evaluation.generation.recordings import corpus_of, noises, speech
from wavlm.errors import BadDataError
from wavlm.evaluation.examples import Example
from wavlm.evaluation.features.states import Subject
from wavlm.evaluation.fit.head import Sets, fit_head, predict
from wavlm.evaluation.heads.mask import NUM_FREQUENCIES, MaskNetwork, masked_waveform, spectrum
from wavlm.evaluation.run import Inputs, run_evaluation
from wavlm.evaluation.splits import Split
from wavlm.evaluation.tasks.listening import rate_clean, rate_sources, score_ratings
from wavlm.evaluation.tasks.masking import Masker, Masking, MasksOfStates
from wavlm.evaluation.tasks.referenced import Referenced
from wavlm.evaluation.tasks.task import Batch, Size, read_batch
from wavlm.shards import Reader
from wavlm.specs.evaluation import EvaluationSpec, FbankBaseline, FitSpec
from wavlm.specs.generation import NoiseMixSpec, SpeechEnhancement, SpeechSeparation, VoiceMixSpec
from wavlm.specs.heads import MaskHead
from wavlm.specs.splits import BySpeaker

HEAD = MaskHead(type="mask", hidden=16, layers=1, dropout=0.0)
SPECS = {
    "se": SpeechEnhancement(type="se", mix=NoiseMixSpec(snr_db=(0.0, 0.0))),
    "ss": SpeechSeparation(type="ss", mix=VoiceMixSpec(ratio_db=(0.0, 0.0))),
}


def mixed(folder: Path, kind: str, seconds: float = 1.0) -> tuple[Split, Masker, list[Reader]]:
    """Twelve recordings, mixed; the first six are for training, and the last three for the test."""
    spoken, noise = corpus_of(folder / "spoken", speech(seconds)), corpus_of(folder / "noise", noises(5), number=1)
    task = Masking(SPECS[kind], HEAD)
    items = task.collect([spoken], [noise])
    split = task.mix(Split("", tuple(items[:6]), tuple(items[6:9]), tuple(items[9:])), [noise])
    return split, task.begin(split.train, ()), [Reader(spoken.shards_dir), Reader(noise.shards_dir)]


def spectra_of(split: Split, readers: list[Reader]) -> MadeFeatures:
    """Two states: noise, and log magnitudes by numpy of 400 samples every 320 of the *mixture*."""
    values = {}
    for item in (*split.train, *split.dev, *split.test):
        wave = item.audio.load(readers)
        frames = np.stack([wave[at : at + 400] for at in range(0, len(wave) - 399, 320)]) * np.hanning(400)
        spectra = np.log(np.abs(np.fft.rfft(frames, 512)) + 1e-3)
        noise = np.random.default_rng(len(wave)).normal(size=spectra.shape)
        values[item.key] = np.stack([noise, spectra]).astype(np.float32)
    return MadeFeatures(values)


@pytest.mark.parametrize("num_samples", [3200, 3456, 3457, 3519])
def test_a_waveform_keeps_its_length_and_its_samples(num_samples: int) -> None:
    """Up to 63 samples behind the last window are silent; what the window alone covers is divided by its weight."""
    wave = torch.from_numpy(speech(1.0, 1)[0].waveform[:num_samples])
    frames = spectrum(wave[None])[0]
    found = masked_waveform(frames, torch.ones(frames.shape), num_samples)
    covered = min(num_samples, 10 * 320 + 256)
    assert len(found) == num_samples
    assert found[: covered - 32].numpy() == pytest.approx(wave[: covered - 32].numpy(), abs=1e-4)
    assert not found[covered:].any()


class OfOnes(torch.nn.Module):
    """Masks of 1."""

    def __init__(self, num_references: int) -> None:
        super().__init__()
        self.num_references = num_references

    def forward(self, states: torch.Tensor, num_frames: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        return torch.ones(len(states), self.num_references, int(wanted.max()), NUM_FREQUENCIES)


def test_a_mask_of_ones_leaves_the_noisy_speech_as_it_is(tmp_path: Path) -> None:
    """So PESQ is that of the noisy speech, by its library alone, and SI-SDR gains nothing."""
    split, trainee, readers = mixed(tmp_path, "se")
    found = trainee.predict(OfOnes(1), read_batch(split.test, spectra_of(split, readers), "cpu"))
    for item, rating in zip(split.test, found, strict=True):
        assert isinstance(item, Referenced)
        assert isinstance(rating, dict)
        clean, noisy = item.references[0].load(readers), item.audio.load(readers)
        assert rating["pesq"] == pytest.approx(pesq.pesq(16000, clean, noisy, "wb"), abs=0.02)
        assert rating["si_sdri"] == pytest.approx(0, abs=0.02)
        assert rating["si_sdr"] == pytest.approx(0, abs=0.6)  # mixed at 0 dB; speech and noise correlate a little


def test_masks_of_ones_separate_nothing(tmp_path: Path) -> None:
    split, trainee, readers = mixed(tmp_path, "ss")
    for rating in trainee.predict(OfOnes(2), read_batch(split.test, spectra_of(split, readers), "cpu")):
        assert isinstance(rating, dict)
        assert rating["si_sdri"] == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize(("kind", "least_db"), [("se", 2.0), ("ss", 1.0)])
def test_masks_are_learned_from_spectra(tmp_path: Path, kind: str, least_db: float) -> None:
    """On the training part, since a handful of utterances is no test of what is learned about others."""
    split, trainee, readers = mixed(tmp_path, kind, 0.6)
    features = spectra_of(split, readers)
    fit = FitSpec(learning_rates=(1e-2,), updates=80, batch=6, dev_every=80)
    sets = Sets(split.train, split.dev, features, Size(2, NUM_FREQUENCIES, 320))
    fitted = fit_head(trainee, sets, fit, 1e-2, 0, tmp_path / "fit")
    figures = {
        it.name: it.value
        for it in trainee.score(split.train, predict(trainee, fitted.head, split.train, features, "cpu"))
    }
    assert figures["si_sdri"] > least_db
    weights = torch.softmax(fitted.head.get_parameter("sum.weights"), dim=0)
    assert weights[1] > weights[0]  # the state that is no noise


def test_of_a_hundred_frames_a_second_every_second_one_is_taken() -> None:
    """Frame 2 n of such a baseline and frame n of a network cover the same samples."""
    torch.manual_seed(0)
    network = MaskNetwork(5, 1, hidden=4, num_layers=1, dropout=0.0)
    slow, fast = MasksOfStates(1, 1, network), MasksOfStates(1, 2, network)
    states = torch.randn(2, 1, 21, 5)
    wanted = torch.tensor([12, 9])
    expected = slow(states[:, :, ::2], torch.tensor([11, 8]), wanted)
    found = fast(states, torch.tensor([21, 16]), wanted)
    assert torch.equal(found, expected)
    assert torch.equal(found, fast(states, torch.tensor([21, 15]), wanted))


def test_an_utterance_is_masked_alike_alone_and_in_a_batch(tmp_path: Path) -> None:
    split, trainee, readers = mixed(tmp_path, "ss")
    features = spectra_of(split, readers)
    torch.manual_seed(0)
    head = trainee.make_head(Size(2, NUM_FREQUENCIES, 320)).eval()
    together = predict(trainee, head, split.test, features, "cpu")
    for item, rating in zip(split.test, together, strict=True):
        (alone,) = predict(trainee, head, [item], features, "cpu")
        assert isinstance(alone, dict)
        assert isinstance(rating, dict)
        assert alone["si_sdr"] == pytest.approx(rating["si_sdr"], abs=1e-2)


def test_frames_that_do_not_fall_on_the_spectrogram_are_refused(tmp_path: Path) -> None:
    trainee = mixed(tmp_path, "se")[1]
    with pytest.raises(BadDataError, match="METRIC_MISFIT: the model has a frame every 200 samples"):
        trainee.check(Size(1, 8, 200))


def test_silence_is_the_lowest_rating_and_speech_that_is_too_short_is_none() -> None:
    clean = speech(1.0, 1)[0].waveform
    noisy = clean + 0.01 * np.random.default_rng(0).normal(size=len(clean)).astype(np.float32)
    silent = rate_clean(clean, np.zeros_like(clean), noisy)
    assert (silent["pesq"], silent["stoi"], silent["si_sdr"]) == (1.0, 0.0, -30.0)
    assert silent["lowest"] == ["pesq", "stoi", "si_sdr"]
    short = rate_clean(clean[8000:11000], noisy[8000:11000], noisy[8000:11000])
    assert short["pesq"] is None
    assert short["lowest"] == []
    assert short["si_sdri"] == pytest.approx(0)
    two = np.stack([clean, noisy])
    assert rate_sources(two, np.zeros_like(two), noisy)["si_sdr"] == -30.0
    assert rate_sources(np.stack([clean, 0 * clean]), two, noisy)["si_sdri"] is None


def test_means_are_of_what_can_be_rated_and_say_so() -> None:
    ratings = [
        {"pesq": 2.0, "stoi": 0.5, "si_sdr": 3.0, "si_sdri": 1.0, "lowest": []},
        {"pesq": None, "stoi": 0.7, "si_sdr": 5.0, "si_sdri": 2.0, "lowest": []},
        {"pesq": 1.0, "stoi": 0.0, "si_sdr": -30.0, "si_sdri": -33.0, "lowest": ["pesq", "stoi", "si_sdr"]},
    ]
    figures = score_ratings(ratings, ["a", "b", "c"])  # type: ignore[arg-type]
    assert [it.name for it in figures] == ["pesq", "stoi", "si_sdri", "si_sdr"]
    assert [it.value for it in figures] == pytest.approx([1.5, 0.4, -10.0, -22 / 3])
    assert figures[0].note == (
        "1 of 3 references cannot be rated and are left out; 1 of 3 results are silent or too quiet and count 1"
    )
    assert figures[2].note == "1 of 3 results are silent or too quiet and count -30"
    assert all(it.interval is not None for it in figures)
    (nothing, *_) = score_ratings([{**ratings[1], "stoi": None}], ["a"])  # type: ignore[list-item]
    assert np.isnan(nothing.value)


def test_a_whole_evaluation_scores_real_speech_and_says_what_it_was(tmp_path: Path) -> None:
    spoken, noise = corpus_of(tmp_path / "spoken", speech(0.8)), corpus_of(tmp_path / "noise", noises(5), number=1)
    spec = EvaluationSpec.model_construct(
        name="se-small",
        description="",
        task=SPECS["se"],
        split=BySpeaker(type="speakers"),
        head=HEAD,
        fit=FitSpec(learning_rates=(1e-3, 1e-2), updates=6, batch=4, dev_every=3),
    )
    shards = {item.name: item.shards_dir for item in (spoken, noise)}
    subject = Subject("fbank", baseline=FbankBaseline(type="fbank"))
    inputs = Inputs((spoken,), (noise,), shards, subject, "fbank")
    facts = run_evaluation(spec, inputs, tmp_path / "cache", tmp_path / "out")
    assert [it.name for it in facts.figures] == ["pesq", "stoi", "si_sdri", "si_sdr"]
    assert all(it.interval is not None for it in facts.figures)
    assert facts.test is not None
    assert facts.test.utterances >= facts.test.speakers == 2
    again = run_evaluation(spec, inputs, tmp_path / "cache", tmp_path / "again")
    assert again == facts


def test_a_batch_of_another_length_gives_the_same_loss(tmp_path: Path) -> None:
    """The loss of two utterances is the mean of their losses: padding counts for nothing."""
    split, trainee, readers = mixed(tmp_path, "ss", 0.5)
    features = spectra_of(split, readers)
    head = trainee.make_head(Size(2, NUM_FREQUENCIES, 320)).eval()

    def loss_of(items: list[Example]) -> float:
        batch: Batch = read_batch(items, features, "cpu")
        return float(trainee.loss(head, batch).detach())

    by_length = sorted(split.train, key=lambda item: item.num_samples)
    shortest, longest = by_length[0], by_length[-1]
    both = (loss_of([shortest]) + loss_of([longest])) / 2
    assert loss_of([shortest, longest]) == pytest.approx(both, rel=1e-4)
