"""What the head gets: states that padding does not touch, masks where they belong, statistics that are means."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soxr
import torch
from torch import nn

from tests.finetune.made import stage
from tests.mini_shards import Spoken, write_shards
from tests.tiny_specs import tiny_large_network, tiny_network
from wavlm.engine.ranks import Ranks
from wavlm.errors import UsageError
from wavlm.evaluation.examples import Example, Take
from wavlm.evaluation.tasks.task import Moment
from wavlm.finetune import step
from wavlm.finetune.augment import Augmenter
from wavlm.finetune.build import open_network
from wavlm.finetune.data import hear
from wavlm.finetune.system import TunedSystem
from wavlm.nn import WavLM
from wavlm.specs import ConvLayer, MixSpec, NetworkSpec
from wavlm.specs.evaluation import RandomBaseline
from wavlm.specs.shapes import num_frames
from wavlm.specs.stages import FinetuneStage

pytestmark = pytest.mark.numeric

LENGTHS = (4000, 6400, 5123)


def _stage(**fields: Any) -> FinetuneStage:
    return FinetuneStage.model_validate_json(json.dumps(stage(**fields)))


def _example(name: str, num_samples: int) -> Example:
    return Example(name, "", "", num_samples, Take(0, 0), None)


def _waveforms() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [(0.1 * rng.standard_normal(length)).astype(np.float32) for length in LENGTHS]


@pytest.mark.parametrize("network", [tiny_network(), tiny_large_network()])
def test_states_of_a_padded_micro_batch_are_those_of_each_recording_alone(network: NetworkSpec) -> None:
    torch.manual_seed(0)
    model = WavLM(network, 2).eval()
    system = TunedSystem(model, nn.Identity(), is_pooled=False).eval()
    waveforms = _waveforms()
    batch = system.batch(hear(waveforms, [_example(str(n), n) for n in LENGTHS], None))
    assert batch.num_frames.tolist() == [num_frames(length) for length in LENGTHS]
    for row, waveform in enumerate(waveforms):
        with torch.no_grad():
            alone = model.hidden_states(torch.from_numpy(waveform)[None])
            alone[-1] = model.encoder.final(alone[-1])
        expected = torch.cat(alone)  # (S, F, D)
        found = batch.states[row, :, : expected.shape[1]]
        assert torch.allclose(found, expected, rtol=0, atol=2e-5 * float(expected.abs().max()))


def test_a_network_for_8_khz_gets_speech_of_8_khz_and_its_frames_have_the_times_of_the_targets() -> None:
    convs = [(10, 5), (3, 2), (3, 2), (3, 2), (2, 2), (2, 2)]
    layers = tuple(ConvLayer(channels=8, kernel=kernel, stride=stride) for kernel, stride in convs)
    torch.manual_seed(0)
    model = WavLM(tiny_network(conv_layers=layers), 2).eval()
    assert model.sample_rate_hz == 8000
    waveforms = _waveforms()
    batch = (
        TunedSystem(model, nn.Identity(), is_pooled=False)
        .eval()
        .batch(hear(waveforms, [_example(str(n), n) for n in LENGTHS], None))
    )
    assert batch.num_frames.tolist() == [(length - 400) // 320 + 1 for length in LENGTHS]  # those of 16 kHz
    assert batch.waveforms.shape[1] == max(LENGTHS)  # what heads separate or resynthesise stays at 16 kHz
    for row, waveform in enumerate(waveforms):
        frames = int(batch.num_frames[row])
        narrow = soxr.resample(waveform, 16000, 8000, "HQ")[: 200 + 160 * (frames - 1)]
        with torch.no_grad():
            alone = model.hidden_states(torch.from_numpy(narrow)[None])[0][0]  # (F, D)
        assert torch.allclose(batch.states[row, 0, :frames], alone, atol=1e-5)


def test_a_network_without_a_frame_every_20_ms_is_not_fine_tuned() -> None:
    """Also one of random weights: targets and heads count in such frames."""
    network = tiny_network(sample_rate_hz=24000)
    baseline = RandomBaseline(type="random", network=network)
    job = SimpleNamespace(head=None, start=None, spec=SimpleNamespace(baseline=baseline, name="asr"))
    with pytest.raises(UsageError, match=r"SAMPLE_RATE: the model makes frames of 400 .* \(75 per second\)"):
        open_network(job)


def test_pooled_states_are_means_of_valid_frames() -> None:
    torch.manual_seed(0)
    model = WavLM(tiny_network(), 2).eval()
    heard = hear(_waveforms(), [_example(str(n), n) for n in LENGTHS], None)
    frames = TunedSystem(model, nn.Identity(), is_pooled=False).eval().batch(heard)
    pooled = TunedSystem(model, nn.Identity(), is_pooled=True).eval().batch(heard).pooled
    for row, count in enumerate(frames.num_frames.tolist()):
        assert torch.allclose(pooled[row], frames.states[row, :, :count].mean(1), atol=1e-6)


def test_masks_depend_on_the_recording_alone_and_reach_its_frames() -> None:
    """The same masks, whatever stands beside a recording. All channels masked: no sound is left."""
    torch.manual_seed(0)
    model = WavLM(tiny_network(dropout=0.0, attention_dropout=0.0, activation_dropout=0.0, layer_drop=0.0), 2).eval()
    system = TunedSystem(model, nn.Identity(), is_pooled=False).eval()
    waveforms = _waveforms()
    heard = hear(waveforms, [_example(str(n), n) for n in LENGTHS], None, Moment(0, 1, 7))
    spec = _stage(time_mask={"probability": 0.5, "length": 2})
    masked, plain = system.batch(heard, spec), system.batch(heard)
    assert not torch.allclose(masked.states[1], plain.states[1], atol=1e-3)
    alone = system.batch(hear(waveforms[1:2], heard.examples[1:2], None, heard.moment), spec)
    count = int(alone.num_frames[0])
    assert torch.allclose(masked.states[1, :, :count], alone.states[0], atol=1e-4)
    other = system.batch(replace(heard, moment=Moment(0, 1, 8)), spec)
    assert not torch.allclose(masked.states[1], other.states[1], atol=1e-3)
    deaf = _stage(channel_mask={"probability": 1.0, "length": 16})
    silent = hear([0 * item for item in waveforms], heard.examples, None, heard.moment)
    assert torch.equal(system.batch(heard, deaf).states, system.batch(silent, deaf).states)


class _Normed(nn.Module):
    """The mean of each row behind a norm with running statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(1, momentum=0.25)
        self.seen: list[float] = []

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        self.seen.append(float(rows.mean()))
        found: torch.Tensor = self.norm(rows)
        return found


def test_running_statistics_move_by_the_mean_of_all_micro_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """r' = (1 - m) r + m * mean of the batch means, on any number of ranks."""
    head = _Normed()
    system = TunedSystem(None, head, is_pooled=True)
    values = [torch.tensor([[1.0], [3.0]]), torch.tensor([[5.0], [11.0]])]

    def forward(run: Any, arrived: Any, progress: Any) -> Any:
        head(arrived.rows)
        return SimpleNamespace()

    monkeypatch.setattr(step, "_forward_backward", forward)
    ranks = Ranks(0, 1, torch.device("cpu"))
    run: Any = SimpleNamespace(system=system, ranks=ranks, spec=_stage(), number=0)
    heard = SimpleNamespace(examples=())
    batches: Any = iter([SimpleNamespace(heard=heard, after=None, rows=rows) for rows in values])
    _, sums = step._accumulate(run, batches, SimpleNamespace(updates=0))  # type: ignore[arg-type]
    assert head.norm.running_mean is not None
    assert head.norm.running_mean.item() == 0.0  # not yet: the update may not be finite
    step._move_statistics(run, sums)
    assert head.seen == [2.0, 8.0]
    assert head.norm.running_mean.item() == pytest.approx(0.25 * (2 + 8) / 2)


def test_noise_is_added_at_the_ratio_of_the_mix_whatever_stands_beside(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    noise = (0.2 * rng.standard_normal(16000)).astype(np.float32)
    folder = write_shards(tmp_path / "noise", [Spoken("hiss", "", noise)])
    spec = MixSpec(name="n", probability=1.0, noise_probability=1.0, noise_ratio_db=(6.0, 6.0), max_length_fraction=1.0)
    augment = Augmenter(spec, [folder], [])
    waveforms = _waveforms()
    both = augment(waveforms[:2], ["a", "b"], 3)
    assert np.array_equal(both[0], augment(waveforms[:1], ["a"], 3)[0])
    for before, after in zip(waveforms, both, strict=False):
        added = (after - before)[np.flatnonzero(after != before)]
        assert len(added)
        ratio = np.mean(before.astype(np.float64) ** 2) / np.mean(added.astype(np.float64) ** 2)
        assert 10 * np.log10(ratio) == pytest.approx(6.0, abs=0.4)  # of a part of the noise, not of all
    assert not np.array_equal(augment(waveforms[:1], ["a"], 4)[0], both[0])
    assert np.array_equal(Augmenter(None, [], [])(waveforms[:1], ["a"], 3)[0], waveforms[0])
