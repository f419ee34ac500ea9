"""The small networks and the recipes that train them on the labels of a larger one."""

from __future__ import annotations

import json

import pytest
import torch

from tests.data_specs.golden import KEYS, SPECS
from wavlm.nn import WavLM
from wavlm.specs import HiddenFeatures, hidden_features
from wavlm.specs.shapes import forward_flops
from wavlm.specs.yaml import read_network, read_recipe


def closed_form(channels: int, width: int, ffn: int, heads: int) -> int:
    """Parameters of twelve layers behind Base's seven convolutions, without the head: counted term by term."""
    convolutions = channels * 10 + 4 * channels * channels * 3 + 2 * channels * channels * 2
    group_norm, projection = 2 * channels, 2 * channels + channels * width + width
    positions = width * (width // 16) * 128 + 128 + width  # 16 groups, kernel 128 with a gain each, bias
    attention, feed_forward = 4 * (width * width + width), 2 * width * ffn + ffn + width
    gate = 8 * (width // heads) + 8 + heads
    layers = 12 * (attention + feed_forward + gate + 2 * 2 * width) + 320 * heads
    return convolutions + group_norm + projection + width + positions + 2 * width + layers


@pytest.mark.parametrize(
    ("name", "sizes", "millions"), [("small", (512, 384, 1536, 6), 26.9), ("mini", (256, 256, 768, 4), 9.55)]
)
def test_small_networks_have_as_many_parameters_as_their_sizes_say(
    name: str, sizes: tuple[int, int, int, int], millions: float
) -> None:
    with torch.device("meta"):
        network = WavLM(read_network(SPECS / "networks" / f"{name}.yaml"), num_clusters=500)
    head = sum(item.numel() for item in network.head.parameters())
    found = sum(item.numel() for item in network.parameters()) - head
    assert found == closed_form(*sizes)
    assert found / 1e6 == pytest.approx(millions, abs=0.05)


@pytest.mark.parametrize(("name", "share"), [("small", 0.51), ("mini", 0.16)])
def test_small_networks_need_the_share_of_bases_operations_that_the_page_says(name: str, share: float) -> None:
    found, base = (forward_flops(read_network(SPECS / "networks" / f"{it}.yaml"), 10) for it in (name, "base"))
    assert found / base == pytest.approx(share, abs=0.005)


@pytest.mark.parametrize(
    ("name", "features", "width"),
    [
        ("small-from-base-plus", HiddenFeatures(type="hidden", layer=9, model="teacher"), 384),
        ("wavlm-mini", HiddenFeatures(type="hidden", layer=9), 256),
    ],
)
def test_the_last_iteration_is_small_and_clusters_a_layer_of_its_teacher(
    name: str, features: HiddenFeatures, width: int
) -> None:
    last = read_recipe(SPECS / "recipes" / f"{name}.yaml").iterations[-1]
    assert hidden_features(last.codebook) == features
    assert last.network.width == width


def test_the_teacher_of_wavlm_mini_is_the_model_of_wavlm_base() -> None:
    keys = json.loads(KEYS.read_text())
    trained = [item for item in keys["wavlm-base"] if item.startswith("pretrain/")]
    assert set(trained) <= set(keys["wavlm-mini"])
