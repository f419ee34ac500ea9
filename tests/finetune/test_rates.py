"""Learning rates point by point against formulas written here, and what a stage freezes."""

from __future__ import annotations

import json
import math
from functools import partial
from types import SimpleNamespace

import pytest
from torch import nn

from tests.finetune.made import stage
from tests.tiny_specs import tiny_large_network, tiny_network
from wavlm.finetune.build import prepare_stage
from wavlm.finetune.rates import is_frozen, rate_at, scale_at
from wavlm.finetune.step import StageRun
from wavlm.finetune.system import TunedSystem
from wavlm.nn import WavLM
from wavlm.specs.schedules import ConstantRate, ExponentialRate, LinearRate, NoamRate, TriStageRate
from wavlm.specs.stages import FinetuneStage


def _stage(**fields: object) -> FinetuneStage:
    return FinetuneStage.model_validate_json(json.dumps(stage(**fields)))


def test_three_stages_are_those_of_fairseq() -> None:
    """TriStageLRScheduler: steps int(phase_ratio * max_update), decay factor -ln(final_lr_scale) / decay_steps."""
    schedule, updates = TriStageRate(type="tri_stage"), 200
    warm, hold, decay = 20, 80, 100
    for number in range(updates):
        if number < warm:
            expected = 0.01 + (1 - 0.01) / warm * number
        elif number < warm + hold:
            expected = 1.0
        else:
            expected = math.exp(-(-math.log(0.05) / decay) * (number - warm - hold))
        assert scale_at(number, updates, schedule) == pytest.approx(expected, rel=1e-12)
    assert scale_at(updates - 1, updates, schedule) == pytest.approx(0.05 ** (99 / 100))


def test_noam_is_the_formula_of_the_transformer() -> None:
    """lrate = k d^-0.5 min(n^-0.5, n w^-1.5), whose peak at n = w is k / sqrt(d w)."""
    factor, width, warm = 2.0, 256, 40
    peak = factor / math.sqrt(width * warm)
    for number in (1, 2, 39, 40, 41, 400):
        expected = factor * width**-0.5 * min(number**-0.5, number * warm**-1.5)
        found = peak * scale_at(number - 1, 1000, NoamRate(type="noam", warmup_updates=warm))
        assert found == pytest.approx(expected, rel=1e-12)


def test_an_exponential_rate_ends_near_its_last_value_and_warms_up() -> None:
    schedule = ExponentialRate(type="exponential", final_scale=1e-4, warmup_updates=10)
    for number in (0, 5, 9, 10, 500, 999):
        warm = min(1.0, (number + 1) / 10)
        assert scale_at(number, 1000, schedule) == pytest.approx(warm * math.exp(number / 1000 * math.log(1e-4)))


def test_constant_and_linear_rates() -> None:
    assert [scale_at(n, 8, ConstantRate(type="constant", warmup_updates=4)) for n in range(6)] == [
        *(0.25, 0.5, 0.75, 1.0, 1.0, 1.0)
    ]
    assert [scale_at(n, 8, LinearRate(type="linear", warmup_updates=4)) for n in range(8)] == [
        *(0.25, 0.5, 0.75, 1.0, 1.0, 0.75, 0.5, 0.25)
    ]
    assert rate_at(0, _stage(peak_lr=0.5, schedule={"type": "constant", "warmup_updates": 2})) == 0.25


@pytest.mark.parametrize("network", [tiny_network(num_layers=3), tiny_large_network(num_layers=3)])
def test_each_layer_has_the_decayed_rate_of_the_one_above(network) -> None:  # type: ignore[no-untyped-def]
    system = TunedSystem(WavLM(network, 2), nn.Linear(3, 2), is_pooled=False)
    spec = _stage(layer_decay=0.5, network_lr=0.1, frozen="none", time_mask={"probability": 0.5})
    optimizer = prepare_stage(system, spec, 0.0)
    factors = {id(p): group["factor"] for group in optimizer.param_groups for p in group["params"]}
    found = {name: factors.get(id(p)) for name, p in system.named_parameters()}
    assert found["head.weight"] == 1.0
    for layer in range(3):
        assert found[f"network.encoder.layers.{layer}.fc1.weight"] == pytest.approx(0.1 * 0.5 ** (2 - layer))
    assert found["network.projection.weight"] == pytest.approx(0.1 * 0.25)
    assert found["network.mask_embedding"] == pytest.approx(0.1 * 0.25)
    # In the pre-norm style this norm is behind the last layer, else before the first one.
    assert found["network.encoder.norm.weight"] == pytest.approx(0.1 if network.norm_first else 0.1 * 0.25)
    assert found["network.head.projection.weight"] is None


@pytest.mark.parametrize(
    ("frozen", "trained"),
    [
        ("all", set()),
        ("none", {"extractor", "projection", "layers.0", "layers.1"}),
        ("cnn", {"projection", "layers.0", "layers.1"}),
        (1, {"layers.1"}),
        (2, set()),
    ],
)
def test_a_stage_freezes_from_below(frozen: str | int, trained: set[str]) -> None:
    names = [f"network.{name}" for name, _ in WavLM(tiny_network(), 2).named_parameters()]
    spec = _stage(frozen=frozen)
    kept = [name for name in names if not is_frozen(name, spec, norm_first=False)]
    parts = ("extractor", "projection", "layers.0", "layers.1")
    assert {part for part in parts if any(f"{part}." in name and ".head." not in name for name in kept)} == trained
    assert not any(name.startswith("network.head.") for name in kept)
    assert not is_frozen("head.weight", spec, norm_first=False)


@pytest.mark.parametrize(
    ("frozen", "frozen_updates", "is_training"),
    [
        ("cnn", 0, [True, True]),
        ("cnn", 1, [False, True]),
        (2, 0, [True, True]),
        (3, 0, [False] * 2),
        ("all", 0, [False] * 2),
    ],
)
def test_a_network_of_which_nothing_is_trained_drops_nothing_out(
    frozen: str | int, frozen_updates: int, is_training: list[bool]
) -> None:
    system = TunedSystem(WavLM(tiny_network(num_layers=3), 2), nn.Linear(3, 2), is_pooled=False)
    spec = _stage(frozen=frozen, frozen_updates=frozen_updates)
    prepare_stage(system, spec, 0.1)
    run = SimpleNamespace(spec=spec, system=system)
    run.trains_network = partial(StageRun.trains_network, run)
    found = []
    for number in range(2):
        StageRun.set_mode(run, number)  # type: ignore[arg-type]
        assert system.network is not None
        found.append(system.network.training)
    assert found == is_training
