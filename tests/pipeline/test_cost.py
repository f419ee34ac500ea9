"""Counted operations and parameters against published and independently counted figures."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tiny_specs import paper_network
from wavlm.pipeline.cost import cost
from wavlm.specs.shapes import forward_flops, num_parameters
from wavlm.specs.yaml import read_recipe

BASE, LARGE = paper_network("base"), paper_network("large")


def test_parameter_counts_are_those_of_the_published_models() -> None:
    # 94.70 M and 316.62 M in the WavLM paper, table 1 (head of 504 rows included).
    assert num_parameters(BASE, 500) == 94_707_824
    assert num_parameters(LARGE, 500) == 316_627_392


def test_base_takes_15_3_gflop_a_second_of_audio_at_15_s() -> None:
    # By hand: conv 4.91, projection 0.04, positional 0.47, layers 8.49, attention 1.38.
    assert forward_flops(BASE, 15.0) == pytest.approx(15.3e9, rel=0.01)
    assert forward_flops(LARGE, 15.0) == pytest.approx(39.7e9, rel=0.01)


def test_disk_holds_archives_what_is_unpacked_from_them_and_shards_of_noise_too() -> None:
    # The demo's store, as du counts it: archives 0.24 GB, unpacked 0.34, shards 0.28.
    found = cost(read_recipe(Path(__file__).parents[2] / "data_specs/recipes/demo.yaml"))
    by_stage = {stage.stage: stage.disk_gigabytes.known for stage in found.stages}
    assert by_stage["corpus"] == pytest.approx(found.download_gigabytes.known, rel=1e-12)  # sums in another order
    assert by_stage["shards"] == pytest.approx(0.28, rel=0.1)
    assert found.disk_gigabytes.known == pytest.approx(0.24 + 0.34 + 0.28, rel=0.15)
