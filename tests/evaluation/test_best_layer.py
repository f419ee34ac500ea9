"""PNMI utterance by utterance: its sum is what the stage scores measures."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.mini_shards import tones, write_shards
from tests.tiny_specs import tiny_large_network
from wavlm.evaluation.best_layer import count_best_layer, pnmi_of
from wavlm.evaluation.scores import build_scores, choose_utterances
from wavlm.nn import WavLM, save_model
from wavlm.specs import ScoresSpec

pytestmark = pytest.mark.numeric


def test_the_counts_of_all_utterances_give_the_score_of_the_best_layer(tmp_path: Path) -> None:
    spec = ScoresSpec(num_clusters=4, max_utterances=8)
    shards = write_shards(tmp_path / "shards", tones(6) + tones(4, seed=1, split="valid"))
    torch.manual_seed(0)
    save_model(WavLM(tiny_large_network(num_layers=3), num_clusters=5), tmp_path / "model")
    (tmp_path / "scores").mkdir()
    facts = build_scores(spec, tmp_path / "model", {"tones": shards}, ["tones"], tmp_path / "scores")

    found = count_best_layer(spec, tmp_path / "model", choose_utterances(spec, [shards]))
    assert found.layer == facts.best_layer
    assert found.counts.shape == (4, found.num_phones * 4)
    assert pnmi_of(found.counts.sum(axis=0, keepdims=True), found.num_phones)[0] == pytest.approx(facts.best_pnmi)
