"""Candidate and champion on the same held-out speech: real shards, labels and networks, tiny."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tasks.registry.contest import Contest
from tasks.registry.gate import judge_by_interval
from tasks.registry.versions import Version
from tests.mini_shards import Spoken, chords, tones, write_shards
from tests.staircases import write_all_labels
from tests.tasks.conftest import CORPUS, SHARDS, recipe_of
from tests.tiny_specs import tiny_network
from wavlm.evaluation.facts import Gain
from wavlm.nn import WavLM, save_model
from wavlm.pipeline.artifacts import Artifact, Corpus, Labels, Model, Shards, build_order
from wavlm.pipeline.plan import models, plan
from wavlm.pipeline.store import Store
from wavlm.specs import GateSpec, Recipe, ScoresSpec
from wavlm.storage.facts import Facts

CLUSTERS = 50  # of the recipe
ALIKE = 7  # the label of every frame


def guess(network: WavLM, label: int) -> WavLM:
    """The network, made to predict one label whatever it hears."""
    with torch.no_grad():
        network.head.projection.weight.zero_()
        network.head.projection.bias.copy_(network.head.label_embeddings[label])
    return network


def save(folder: Path, change: Callable[[WavLM], WavLM] = lambda network: network, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    save_model(change(WavLM(tiny_network(), CLUSTERS)), folder)
    return folder


def contest_of(
    tmp_path: Path,
    candidate: Callable[[WavLM], WavLM],
    champion: Callable[[WavLM], WavLM],
    valid: list[Spoken],
    gate: GateSpec | None = None,
) -> Contest:
    recipe = recipe_of(gate).model_copy(update={"probe": ScoresSpec(num_clusters=4, max_utterances=40)})
    (model,) = models(plan(recipe))[:1]
    store = Store(tmp_path / "store")
    spoken = [*tones(8), *valid]
    for artifact in build_order([model]):
        store.make(artifact, lambda out, item=artifact: _build(item, store, out, spoken, candidate))
    assert model.codebook
    folder = save(tmp_path / "champion", champion)
    return Contest(model, recipe, store, "M:1", model.codebook.key, folder, confidence=0.9)


def _build(
    artifact: Artifact, store: Store, out: Path, spoken: list[Spoken], change: Callable[[WavLM], WavLM]
) -> Facts:
    if isinstance(artifact, Shards):
        write_shards(out, spoken)
        return SHARDS
    if isinstance(artifact, Labels):
        frames = {item.key: (len(item.waveform) - 400) // 320 + 1 for item in spoken}
        labels = {key: np.full(count, ALIKE, np.uint16) for key, count in frames.items()}
        folder = out / "written"
        write_all_labels(store.path(artifact.shards), folder, labels, {i.key: len(i.waveform) for i in spoken})
        for path in sorted(folder.iterdir()):
            path.rename(out / path.name)
        folder.rmdir()
    if isinstance(artifact, Model):
        save(out, change)
    return CORPUS.model_copy(update={"with_phones": 9}) if isinstance(artifact, Corpus) else Facts()


def test_the_better_guess_wins_on_the_labels_of_both_and_loses_when_they_change_places(tmp_path: Path) -> None:
    valid = tones(12, seed=1, split="valid")
    good, bad = (lambda network, label=label: guess(network, label) for label in (ALIKE, 3))
    found = contest_of(tmp_path, good, bad, valid).measure("valid/loss")
    assert isinstance(found, Gain)
    assert (found.num_utterances, found.metric, found.confidence) == (12, "valid/loss", 0.9)
    assert found.gain == pytest.approx(found.theirs - found.ours)
    assert 0 < found.low <= found.gain <= found.high
    accuracy = contest_of(tmp_path / "again", bad, good, valid).measure("valid/masked_accuracy")
    assert isinstance(accuracy, Gain)
    assert (accuracy.ours, accuracy.theirs, accuracy.high) == (0, 1, -1)


def test_a_model_does_not_beat_itself(tmp_path: Path) -> None:
    contest = contest_of(tmp_path, lambda network: network, lambda network: network, tones(6, seed=1, split="valid"))
    champion = Version("M", 1, (), 1, "k", "run", 0.0, "", {}, {})
    for metric in ("valid/loss", "probe/pnmi"):
        verdict = judge_by_interval(GateSpec(metric=metric), replace(champion, version=2), champion, contest.measure)
        assert not verdict.is_champion
        assert verdict.gain
        assert (verdict.gain.gain, verdict.gain.low, verdict.gain.high) == (0, 0, 0)
        assert verdict.reason.startswith(f"not better beyond doubt: {metric} ")


def test_the_lower_abx_error_wins_on_the_same_triplets(tmp_path: Path) -> None:
    """A network whose frames are all zero has no error but ties: half of all."""

    def silence(network: WavLM) -> WavLM:
        with torch.no_grad():
            for module in network.modules():
                if isinstance(module, torch.nn.LayerNorm):
                    module.weight.zero_()
                    module.bias.zero_()
        return network

    valid = chords(12, split="valid")
    found = contest_of(tmp_path, lambda network: network, silence, valid).measure("probe/abx_within")
    assert isinstance(found, Gain)
    assert found.theirs == pytest.approx(0.5)
    assert found.ours < 0.4
    assert 0 < found.low <= found.gain <= found.high
    assert (found.metric, found.num_utterances, found.num_blocks, found.unit) == (
        *("probe/abx_within", 12, 12),
        "utterances",
    )
    same = contest_of(tmp_path / "same", lambda network: network, lambda network: network, valid)
    for metric in ("probe/abx_within", "probe/abx_across"):
        alike = same.measure(metric)
        assert isinstance(alike, Gain)
        assert (alike.gain, alike.low, alike.high) == (0, 0, 0)
    few = contest_of(tmp_path / "tones", lambda network: network, silence, tones(6, seed=1, split="valid"))
    assert "no ABX within speakers: 0 cells in 6 utterances" in str(few.measure("probe/abx_within"))


def test_other_labels_few_utterances_and_a_broken_network_are_no_comparison(tmp_path: Path) -> None:
    def break_weights(network: WavLM) -> WavLM:
        with torch.no_grad():
            network.head.projection.bias.fill_(float("nan"))
        return network

    few = contest_of(tmp_path / "few", guess_first, guess_first, tones(4, seed=1, split="valid"))
    assert few.measure("valid/loss") == "valid/loss is measured on 5 held-out utterances or more, there are 4"
    assert "there are 4" in str(few.measure("probe/pnmi"))
    other = replace(few, champion_codebook="another")
    assert other.measure("valid/loss") == "valid/loss is no comparison: M:1 predicts labels of another codebook"
    assert "no figure of a model" in str(few.measure("labels/pnmi"))
    for centroids, words in (("1" * 64, "another codebook"), ("0" * 64, "there are 4")):  # whatever the key is
        network = guess_first(WavLM(tiny_network(), CLUSTERS))
        network.codebook = centroids
        save_model(network, tmp_path / centroids)
        for key in (few.champion_codebook, "another"):
            named = replace(few, champion_dir=tmp_path / centroids, champion_codebook=key)
            assert words in str(named.measure("valid/loss"))
    without = replace(few, recipe=few.recipe.model_copy(update={"probe": None}))
    assert "there is none" in str(without.measure("probe/pnmi"))
    broken = contest_of(tmp_path / "broken", break_weights, guess_first, tones(6, seed=1, split="valid"))
    assert broken.measure("valid/loss") == "valid/loss of the candidate is no finite number"


def guess_first(network: WavLM) -> WavLM:
    return guess(network, 0)


@pytest.mark.parametrize(
    ("gain", "low", "wanted", "is_champion", "words"),
    [
        (0.2, 0.1, 0.0, True, "better: valid/loss 1.0000 against 1.2000 of M:1"),
        (0.2, -0.01, 0.0, False, "not better beyond doubt: "),
        (0.2, 0.1, 0.3, False, "not better by 0.3: "),
        (-0.2, -0.3, 0.0, False, "not better beyond doubt: "),
    ],
)
def test_the_whole_interval_has_to_be_above_zero_and_the_gain_as_large_as_asked(
    gain: float, low: float, wanted: float, is_champion: bool, words: str
) -> None:
    champion = Version("M", 1, (), 1, "k", "run", 0.0, "", {}, {})
    found = Gain(
        metric="valid/loss",
        ours=1.0,
        theirs=1.0 + gain,
        gain=gain,
        low=low,
        high=0.4,
        confidence=0.95,
        num_utterances=50,
        num_blocks=50,
        unit="utterances",
    )
    gate = GateSpec(metric="valid/loss", min_improvement=wanted)
    verdict = judge_by_interval(gate, replace(champion, version=2), champion, lambda _: found)
    assert verdict.is_champion == is_champion
    assert verdict.reason.startswith(words)
    assert verdict.gain == found


def test_the_next_metric_is_taken_where_the_first_says_nothing_and_all_reasons_are_said() -> None:
    champion = Version("M", 1, (), 1, "k", "run", 0.0, "", {}, {})
    asked: list[str] = []

    def measure(metric: str) -> str:
        asked.append(metric)
        return f"no {metric}"

    verdict = judge_by_interval(GateSpec(), replace(champion, version=2), champion, measure)
    assert asked == ["probe/pnmi", "valid/loss"]
    assert verdict.reason == (
        "not compared: no probe/pnmi; no valid/loss; to move it by hand: wavlm models promote M:2"
    )


def test_a_gate_without_a_confidence_is_as_it_was() -> None:
    recipe: Recipe = recipe_of(None)
    assert "confidence" not in recipe.gate.model_dump(exclude_defaults=True)
    assert GateSpec(confidence=0.9).confidence == 0.9
