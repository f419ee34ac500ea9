"""Scores: each layer compared with MFCC on the same frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.mini_shards import Spoken, tones, write_shards
from tests.tiny_specs import tiny_large_network
from wavlm.evaluation.facts import read_scores
from wavlm.evaluation.scores import build_scores, choose_utterances, measure_quality
from wavlm.nn import WavLM, save_model
from wavlm.shards import stream
from wavlm.specs import ScoresSpec

pytestmark = pytest.mark.numeric

SPEC = ScoresSpec(num_clusters=4, max_utterances=8)


@pytest.fixture(scope="module")
def shards_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spoken = tones(9) + tones(3, seed=1, split="valid")
    return write_shards(tmp_path_factory.mktemp("shards"), spoken)


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("model")
    save_model(WavLM(tiny_large_network(num_layers=3), num_clusters=5), folder)
    return folder


@pytest.mark.slow
def test_every_layer_is_scored_on_the_same_frames_as_mfcc(tmp_path: Path, shards_dir: Path, model_dir: Path) -> None:
    facts = build_scores(SPEC, model_dir, {"tones": shards_dir}, ["tones"], tmp_path)
    assert read_scores(tmp_path) == facts
    scores = facts.scores
    assert [item.name for item in scores] == ["mfcc", "layer 1", "layer 2", "layer 3"]
    assert len({item.quality.num_frames for item in scores}) == 1
    best = max(scores[1:], key=lambda item: item.quality.pnmi)
    assert facts.best_layer == best.layer
    assert facts.best_pnmi == best.quality.pnmi
    assert facts.mfcc_pnmi == scores[0].quality.pnmi > 0.5  # the phones are two tones
    assert (tmp_path / "scores.png").read_bytes().startswith(b"\x89PNG")


def test_only_the_layers_asked_for_are_scored(tmp_path: Path, shards_dir: Path, model_dir: Path) -> None:
    spec = SPEC.model_copy(update={"layers": (2,)})
    facts = build_scores(spec, model_dir, {"tones": shards_dir}, ["tones"], tmp_path)
    assert [item.layer for item in facts.scores] == [0, 2]


def test_scores_are_the_same_when_made_again(tmp_path: Path, shards_dir: Path, model_dir: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        build_scores(SPEC, model_dir, {"tones": shards_dir}, ["tones"], tmp_path / name)
    for name in ("scores.json", "scores.png"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_without_phones_there_are_no_scores_but_a_reason(tmp_path: Path, model_dir: Path) -> None:
    silent = [Spoken(item.key, item.speaker, item.waveform) for item in tones(3)]
    facts = build_scores(SPEC, model_dir, {"silent": write_shards(tmp_path / "shards", silent)}, ["silent"], tmp_path)
    assert facts.scores == ()
    assert facts.reason is not None
    assert "timed phones" in facts.reason
    assert [(shape.name, shape.splits, shape.num_utterances) for shape in facts.shapes] == [
        (name, ("train",), 2) for name in ("mfcc", "layer 1", "layer 2", "layer 3")
    ]
    assert facts.advised_layer is None
    assert facts.advice is not None
    assert "no layer is advised" in facts.advice
    assert "null" not in (tmp_path / "scores.json").read_text()
    assert (tmp_path / "scores.png").is_file()


def test_utterances_with_phones_are_found_behind_shards_without(tmp_path: Path) -> None:
    spoken = tones(4) + tones(4, seed=1, split="valid")
    silent = [Spoken(f"0{item.key}", item.speaker, item.waveform, split=item.split) for item in spoken]
    folder = write_shards(tmp_path / "shards", [*silent, *spoken], per_shard=1)
    chosen = choose_utterances(SPEC, [folder])
    assert {item.key for item in (*chosen.fitted, *chosen.judged)} == {item.key for item in spoken}
    assert chosen.judged_on == "valid"


def test_the_choice_is_seeded_and_bounded(shards_dir: Path) -> None:
    chosen = [
        [item.key for item in choose_utterances(spec, [shards_dir]).fitted]
        for spec in (SPEC, SPEC, SPEC.model_copy(update={"seed": 1}))
    ]
    assert chosen[0] == chosen[1] != chosen[2]
    assert len(set(chosen[0])) == SPEC.max_utterances // 2


def test_valid_speech_is_judged_and_train_speech_is_for_k_means(shards_dir: Path, tmp_path: Path) -> None:
    chosen = choose_utterances(SPEC, [shards_dir])
    assert {item.split for item in chosen.fitted} == {"train"}
    assert {item.split for item in chosen.judged} == {"valid"}
    assert (len(chosen.fitted), len(chosen.judged), chosen.judged_on) == (4, 3, "valid")
    for split in ("train", "valid"):
        # The other split has no phones: both halves are of this one, and it is said which.
        spoken = [
            item if item.split == split else Spoken(item.key, item.speaker, item.waveform, split=item.split)
            for item in tones(6) + tones(6, seed=1, split="valid")
        ]
        chosen = choose_utterances(SPEC, [write_shards(tmp_path / split, spoken)])
        assert {item.split for item in (*chosen.fitted, *chosen.judged)} == {split}
        assert (len(chosen.fitted), len(chosen.judged), chosen.judged_on) == (3, 3, split)
        assert not {item.key for item in chosen.fitted} & {item.key for item in chosen.judged}


def test_quality_is_measured_on_the_other_half_only(shards_dir: Path) -> None:
    utterances = list(stream(shards_dir / "train-000000.tar"))[:4]
    first_half = {len(item.waveform) for item in utterances[:2]}

    def blind(waveform: np.ndarray) -> list[np.ndarray]:
        """Two values that alternate with the tones, only in utterances of the first half."""
        frames = (len(waveform) - 400) // 320 + 1
        high = ((np.arange(frames) * 320 + 200) // 1600) % 2
        known = high if len(waveform) in first_half else np.zeros(frames)
        return [known[:, None].astype(np.float32)]

    spec = ScoresSpec(num_clusters=2)
    assert measure_quality(blind, utterances[:2], utterances[2:], spec)[0].pnmi == pytest.approx(0, abs=1e-9)
    assert measure_quality(blind, utterances[:2], utterances[:2], spec)[0].pnmi > 0.9
