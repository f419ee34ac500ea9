"""The module that fine-tuning trains: a network, or a baseline without one, and a head.

Legend: B utterances, N samples, S states, F frames, D channels.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from wavlm.evaluation.examples import Example
from wavlm.evaluation.features.states import to_rate
from wavlm.evaluation.tasks.task import Batch, Moment, Size, Trainee
from wavlm.loader.masking import Spans
from wavlm.nn import WavLM
from wavlm.rng import stream_seeds
from wavlm.specs import HOP_SAMPLES, SAMPLE_RATE_HZ, MaskSpec
from wavlm.specs.shapes import num_frames
from wavlm.specs.stages import FinetuneStage

PRECISIONS = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Heard:
    """A micro-batch on its device, before the network: waveforms, or the frames of a baseline."""

    examples: tuple[Example, ...]
    waveforms: Tensor  # (B, N), padded with zeros
    num_samples: Tensor  # (B,) on the CPU
    frames: Tensor | None = None  # (B, 1, F, D) of a baseline without a network
    num_frames: Tensor | None = None  # (B,) of them
    moment: Moment | None = None

    def to(self, device: torch.device) -> Heard:
        """The same with waveforms and frames on the device."""
        moved = {
            name: value.to(device) for name in ("waveforms", "frames") if (value := getattr(self, name)) is not None
        }
        return replace(self, **moved)


class TunedSystem(nn.Module):
    """A network and a head. The names of parameters begin with `network.` and `head.`."""

    def __init__(self, network: WavLM | None, head: nn.Module, *, is_pooled: bool) -> None:
        super().__init__()
        self.network, self.head = network, head
        self.is_pooled = is_pooled

    def loss(self, trainee: Trainee, heard: Heard, stage: FinetuneStage, *, trains_network: bool) -> Tensor:
        """The mean loss of a micro-batch, a scalar. The head computes in fp32, whatever the precision."""
        batch = self.batch(heard, stage, trains_network=trains_network)
        return trainee.loss(self.head, batch)

    def batch(self, heard: Heard, stage: FinetuneStage | None = None, *, trains_network: bool = False) -> Batch:
        """The micro-batch with its states. stage: what is masked, and how precisely it is computed; None: nothing."""
        found = self.unpooled(heard, stage, trains_network=trains_network)
        return pool(found) if self.is_pooled else found

    def unpooled(self, heard: Heard, stage: FinetuneStage | None = None, *, trains_network: bool = False) -> Batch:
        """The same with all frames, also where the head takes their mean."""
        if self.network is None:
            assert heard.frames is not None  # noqa: S101 - made for a baseline
            assert heard.num_frames is not None  # noqa: S101 - made for a baseline
            states, counts = heard.frames, heard.num_frames.to(heard.frames.device)
        else:
            with nullcontext() if trains_network else torch.no_grad():
                states, counts = states_of(self.network, heard, stage)
        num_samples = heard.num_samples.to(heard.waveforms.device)
        return Batch(heard.examples, states, counts, heard.waveforms, num_samples, heard.moment)


def states_of(network: WavLM, heard: Heard, stage: FinetuneStage | None) -> tuple[Tensor, Tensor]:
    """The states (B, S, F, D), float32, and the number of frames of each utterance (B,).

    The last state is the network's output, as in evaluations.
    """
    heard, layers = at_rate_of(network, heard), network.network.conv_layers
    counts = torch.tensor([num_frames(int(count), layers) for count in heard.num_samples])
    masks = _Masks(network, heard, counts, stage)
    dtype = PRECISIONS.get(stage.precision) if stage else None
    with torch.autocast(heard.waveforms.device.type, dtype=dtype, enabled=dtype is not None):
        states = network.tuned_states(heard.waveforms, heard.num_samples, masks.frames, masks.channels)
        states[-1] = network.encoder.final(states[-1])
    return torch.stack([state.float() for state in states], dim=1), counts.to(heard.waveforms.device)


def at_rate_of(network: WavLM, heard: Heard) -> Heard:
    """The waveforms at the sample rate of the network, with frames at the same times: what is heard has 16 kHz.

    The rows are resampled on the CPU, one by one, so that none depends on the length of another.
    """
    rate_hz = network.sample_rate_hz
    if rate_hz == SAMPLE_RATE_HZ:
        return heard
    waveforms = heard.waveforms.cpu().numpy()
    rows = [
        torch.from_numpy(to_rate(row[:count], rate_hz))
        for row, count in zip(waveforms, heard.num_samples.tolist(), strict=True)
    ]
    padded = nn.utils.rnn.pad_sequence(rows, batch_first=True).to(heard.waveforms.device)
    return replace(heard, waveforms=padded, num_samples=torch.tensor([len(row) for row in rows]))


class _Masks:
    """The masks of a micro-batch, drawn from its seed for each utterance by itself."""

    def __init__(self, network: WavLM, heard: Heard, counts: Tensor, stage: FinetuneStage | None) -> None:
        self.frames: Tensor | None = None  # (B, F)
        self.channels: Tensor | None = None  # (B, D)
        if stage is None or heard.moment is None:
            return
        device, keys = heard.waveforms.device, [item.key for item in heard.examples]
        seed = heard.moment.seed
        if stage.time_mask is not None:
            seeds = stream_seeds(seed, ("time mask",), keys)
            rows = [
                Spans(int(n), stage.time_mask, seeds[row : row + 1]).masks(device)[0] for row, n in enumerate(counts)
            ]
            self.frames = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        if stage.channel_mask is not None:
            spec = MaskSpec(probability=stage.channel_mask.probability, length=stage.channel_mask.length, min_spans=0)
            seeds = stream_seeds(seed, ("channel mask",), keys)
            self.channels = Spans(network.network.width, spec, seeds).masks(device)


def pool(batch: Batch) -> Batch:
    """The batch with the mean of the valid frames of each state: (B, S, F, D) to (B, S, 1, D)."""
    states, counts = batch.states, batch.num_frames
    valid = torch.arange(states.shape[2], device=states.device) < counts[:, None]  # (B, F)
    total = states.masked_fill(~valid[:, None, :, None], 0).sum(dim=2, keepdim=True)
    return replace(batch, states=total / counts.view(-1, 1, 1, 1), num_frames=torch.ones_like(counts))


def size_of(network: WavLM | None, num_channels: int, hop_samples: int) -> Size:
    """What a head has to know of the states. The numbers are those of a baseline, where there is no network."""
    if network is None:
        return Size(1, num_channels, hop_samples)
    return Size(network.network.num_layers + 1, network.network.width, HOP_SAMPLES)
