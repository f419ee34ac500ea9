"""How long a run will take: one training and one codebook by hand; the speed of a machine is measured, and used."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.tiny_specs import tiny_network
from wavlm.pipeline.artifacts import Codebook, Model
from wavlm.pipeline.estimate import FIXED_SECONDS, estimate_seconds, measure_speed
from wavlm.pipeline.plan import plan
from wavlm.pipeline.store import Store
from wavlm.specs import Recipe
from wavlm.specs.yaml import read_recipe


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return read_recipe(Path(__file__).parents[2] / "data_specs/recipes/hubert-base.yaml")


def test_a_training_takes_its_operations_at_the_speed_of_the_cores(recipe: Recipe, tmp_path: Path) -> None:
    model = next(item for item in plan(recipe) if isinstance(item, Model))
    # Base: 15.3 GFLOP a second of audio forwards (test_cost), three times that with the backward pass.
    expected = 3 * 15.3e9 * model.train.updates * model.train.batch_seconds / 1e12 / 4
    found = estimate_seconds([model], Store(tmp_path), flops=1e12, cores=4)[model]
    assert found == pytest.approx(expected + FIXED_SECONDS, rel=0.01)


def test_a_codebook_on_mfcc_reads_no_more_than_its_sample_and_uses_one_core(recipe: Recipe, tmp_path: Path) -> None:
    codebook = next(item for item in plan(recipe) if isinstance(item, Codebook))
    # 100 clusters of 1000 frames, 80 of each utterance: 1250 utterances of 10 s, decoded at 7000, features at 2500
    # times real time on the reference machine of 15 GFLOP/s.
    expected = 12_500 * (1 / 7000 + 1 / 2500) * (15e9 / 5e9)
    for cores in (1, 8):
        found = estimate_seconds([codebook], Store(tmp_path), flops=5e9, cores=cores)[codebook]
        assert found == pytest.approx(expected + FIXED_SECONDS, rel=1e-6)


def test_the_speed_is_counted_in_operations_and_leaves_the_threads_as_they_were() -> None:
    threads = torch.get_num_threads()
    assert 1e7 < measure_speed(tiny_network(), 1.0) < 1e13  # between a slow emulator and a whole GPU
    assert torch.get_num_threads() == threads
