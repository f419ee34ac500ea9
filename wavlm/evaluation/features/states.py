"""All layers of a frozen model, or the frames of a baseline, of one utterance at a time.

An utterance is computed alone: Base's first norm covers the whole of a padded batch, so in batches features would
depend on what stands beside them.

Legend: N samples, S layers that a head can weigh (hidden states: the encoder's input and each layer), F frames,
D channels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from wavlm.errors import BadDataError
from wavlm.features.fbank import FBANK_CHANNELS, fbank
from wavlm.features.hidden import cut_pieces, single_precision
from wavlm.features.mfcc import MFCC_CHANNELS, MFCC_HOP_SAMPLES, Floats, mfcc
from wavlm.nn import WavLM, load_model
from wavlm.nn.description import read_network
from wavlm.rng import seed_for
from wavlm.specs import HOP_SAMPLES, SAMPLE_RATE_HZ, NetworkSpec
from wavlm.specs.evaluation import BaselineSpec, FbankBaseline, MfccBaseline, RandomBaseline
from wavlm.specs.frames import PAPER_FRAMES, FrameGrid

CLUSTERS_OF_RANDOM = 2  # a network has a head, which no state depends on


@dataclass(frozen=True)
class Subject:
    """What is evaluated. It can be pickled."""

    identity: str  # of the weights, or of the baseline: what a cache of its features is named by
    model_dir: Path | None = None
    baseline: BaselineSpec | None = None

    @property
    def device(self) -> str:
        """Baselines without a network are computed on the CPU."""
        return "cuda" if torch.cuda.is_available() and not self.is_plain else "cpu"

    @property
    def is_plain(self) -> bool:
        """Whether it is a baseline without a network."""
        return isinstance(self.baseline, FbankBaseline | MfccBaseline)

    @property
    def num_states(self) -> int:
        network = self._network
        return 1 if network is None else network.num_layers + 1

    @property
    def num_channels(self) -> int:
        network = self._network
        if network is not None:
            return network.width
        return FBANK_CHANNELS if isinstance(self.baseline, FbankBaseline) else MFCC_CHANNELS

    @property
    def hop_samples(self) -> int:
        """Samples of the evaluation, at 16 kHz, from one frame to the next."""
        return MFCC_HOP_SAMPLES if self._network is None else HOP_SAMPLES

    @property
    def _network(self) -> NetworkSpec | None:
        """The network that computes the states; None for baselines without one."""
        if self.model_dir is not None:
            return read_network(self.model_dir).network
        return self.baseline.network if isinstance(self.baseline, RandomBaseline) else None


class ComputeStates(Protocol):
    """From a waveform (N,) to its states, S x (F, D), float32: one piece of it after the other."""

    def __call__(self, waveform: Floats, key: str) -> Iterator[list[Floats]]: ...


def open_subject(subject: Subject) -> ComputeStates:
    """The function that computes the states of an utterance.

    It raises BadDataError (FEATURES_BROKEN) for states that are not finite, naming the utterance.
    """
    network = None if subject.is_plain else _open_network(subject)

    def compute(waveform: Floats, key: str) -> Iterator[list[Floats]]:
        if network is None:
            yield _require_finite([(fbank if isinstance(subject.baseline, FbankBaseline) else mfcc)(waveform)], key)
            return
        grid = FrameGrid.of(network.network)
        if grid.is_standard:
            for piece in cut_pieces(to_rate(waveform, grid.sample_rate_hz), grid=grid):
                yield _require_finite(_compute(network, piece, subject.device), key)
            return
        for piece in cut_pieces(waveform):
            found, nearest = to_grid(piece, grid)
            yield _require_finite([state[nearest] for state in _compute(network, found, subject.device)], key)

    return compute


def to_rate(waveform: Floats, sample_rate_hz: int) -> Floats:
    """A waveform of an evaluation, of 16 kHz, at the rate of a model: (N,) -> (M,), with frames at the same times."""
    if sample_rate_hz == SAMPLE_RATE_HZ:
        return waveform
    frames = int(PAPER_FRAMES.count(len(waveform)))
    if not frames:
        return waveform[:0]
    return _resample(waveform, sample_rate_hz, FrameGrid.standard(sample_rate_hz).samples_of(frames))


def to_grid(waveform: Floats, grid: FrameGrid) -> tuple[Floats, npt.NDArray[np.int64]]:
    """The same for a model of another frame rate than 50 per second: its waveform, and which frames are taken of it.

    A frame of an evaluation is the frame of the model whose middle is nearest to its own. So heads and tables count in
    50 frames per second for every model: at 75 a third of the frames is not looked at.
    """
    middles = PAPER_FRAMES.centres_seconds(int(PAPER_FRAMES.count(len(waveform)))) * grid.sample_rate_hz
    nearest = np.maximum(0, np.rint((middles - grid.window_samples // 2) / grid.hop_samples)).astype(np.int64)
    if not len(nearest):
        return waveform[:0], nearest
    return _resample(waveform, grid.sample_rate_hz, grid.samples_of(int(nearest[-1]) + 1)), nearest


def _resample(waveform: Floats, sample_rate_hz: int, length: int) -> Floats:
    """A waveform of 16 kHz at another rate, cut or padded with zeros to a length."""
    if sample_rate_hz == SAMPLE_RATE_HZ:
        return np.pad(waveform[:length], (0, max(0, length - len(waveform))))
    import soxr  # imported here because most models need no resampling

    found: Floats = soxr.resample(waveform, SAMPLE_RATE_HZ, sample_rate_hz, "HQ")[:length]
    return np.pad(found, (0, length - len(found)))


def _open_network(subject: Subject) -> WavLM:
    if subject.model_dir is not None:
        return load_model(subject.model_dir, subject.device).eval()
    baseline = subject.baseline
    assert isinstance(baseline, RandomBaseline)  # noqa: S101 - by its callers
    assert baseline.network is not None  # noqa: S101 - a plan fills it in
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_for(baseline.seed, "random weights") % 2**63)
        return WavLM(baseline.network, CLUSTERS_OF_RANDOM).to(subject.device).eval()


def _compute(network: WavLM, piece: Floats, device: str) -> list[Floats]:
    batch = torch.from_numpy(np.ascontiguousarray(piece))[None].to(device)
    with torch.inference_mode(), single_precision():
        states = network.hidden_states(batch)
        states[-1] = network.encoder.final(states[-1])  # the encoder's output, as s3prl has it
        return [state[0].float().cpu().numpy() for state in states]


def _require_finite(states: list[Floats], key: str) -> list[Floats]:
    for number, state in enumerate(states):
        if not np.isfinite(state).all():
            raise BadDataError(
                "FEATURES_BROKEN",
                f"layer {number} of {key} has values that are NaN or infinite; in the model that is evaluated; "
                "check its weights: a training that diverged leaves such a model",
            )
    return states
