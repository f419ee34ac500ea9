"""The WavLM network: feature encoder, transformer encoder and pre-training head (docs/algorithm.md).

B utterances, N samples, F frames, C conv channels, D width.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from wavlm.errors import UsageError
from wavlm.nn.attention import Attention, default_attention
from wavlm.nn.contrast import Contrast, ContrastiveHead, ContrastiveTerms
from wavlm.nn.conv import WAVEFORM_EPS, FeatureEncoder, FrameNorm, normalise_padded, scale_gradient, to_at_least_fp32
from wavlm.nn.encoder import Encoder
from wavlm.nn.head import FrameSums, Head, LossTerms, Predictions, select_rows
from wavlm.specs import NetworkSpec, QuantizerSpec
from wavlm.specs.frames import receptive_field, sample_rate_of
from wavlm.specs.shapes import num_frames


class PretrainBatch(Protocol):
    """What `forward_pretrain` reads of a micro-batch; nothing in it is padded."""

    @property
    def waveforms(self) -> Tensor: ...  # (B, N)
    @property
    def labels(self) -> Tensor: ...  # (B, F) int64 cluster numbers; of L > 1 streams (B, F, L)
    @property
    def mask(self) -> Tensor: ...  # (B, F) bool


class WavLM(nn.Module):
    """The network with its pre-training head.

    Initial weights are drawn from torch's default generator: seed it before building a network.
    """

    def __init__(
        self,
        network: NetworkSpec,
        num_clusters: int,
        attend: Attention | None = None,
        *,
        num_streams: int = 1,
        quantizer: QuantizerSpec | None = None,
    ) -> None:
        """num_streams: of labels, each with a head of its own.

        quantizer: of the head of wav2vec 2.0, instead of a head that predicts clusters; then there are none (0).
        """
        super().__init__()
        self.network = network
        self.num_clusters, self.num_streams = num_clusters, num_streams
        self.quantizer = quantizer
        self.fresh_head = False  # True: read from a release without a head, so this one is untrained
        self.codebook = ""  # sha256 of the centroids whose labels the head predicts; empty: not known
        channels = network.conv_layers[-1].channels
        self.extractor = FeatureEncoder(network)
        self.feature_norm = FrameNorm(channels)
        self.projection = nn.Linear(channels, network.width)
        self.input_dropout = nn.Dropout(network.input_dropout)
        self.mask_embedding = nn.Parameter(torch.rand(network.width))
        self.encoder = Encoder(network, attend or default_attention())
        self.head = ContrastiveHead(network, quantizer) if quantizer else Head(network, num_clusters, num_streams)

    @property
    def sample_rate_hz(self) -> int:
        """The rate of the waveforms that the network is for: what it says, else what its strides say."""
        return sample_rate_of(self.network)

    def hidden_states(
        self,
        waveforms: Tensor,
        num_samples: Tensor | None = None,
        num_layers: int | None = None,
        *,
        each_alone: bool = False,
    ) -> list[Tensor]:
        """The encoder's input, then the output of each layer before any final norm: (B, F, D) each.

        waveforms: (B, N) float; or one utterance (N,), for which each state is (F, D).
        num_samples (B,): samples of each row of waveforms (B, N) without padding. None: nothing is padded.
        Frame t of a row is valid if t < num_frames(its samples). Other frames hold undefined values.
        num_layers: stop after this many layers. None: all.
        each_alone: True: valid frames are those of the utterance without padding. False: the same in the layer
        style, but in the group style the first norm covers the padding too, as in other implementations.

        Raises ValueError for a number of layers or samples out of range, UsageError for waveforms of another form.
        """
        _check_waveforms(waveforms, num_samples)
        if waveforms.ndim == 1:
            return [state[0] for state in self.hidden_states(waveforms[None], None, num_layers)]
        num_layers = self.network.num_layers if num_layers is None else num_layers
        if not 0 <= num_layers <= self.network.num_layers:
            raise ValueError(f"num_layers {num_layers} is not in 0..{self.network.num_layers}")
        num_valid = self._count_valid_frames(waveforms, num_samples)
        normalised = self._normalise(waveforms, num_samples)
        features = self.extractor(normalised, num_samples if each_alone else None)
        x = self._zero_padding(self._project(features), num_valid)
        states: list[Tensor] = self.encoder(x, num_valid, [True] * num_layers)
        return states

    def tuned_states(
        self,
        waveforms: Tensor,
        num_samples: Tensor,
        time_mask: Tensor | None = None,
        channel_mask: Tensor | None = None,
    ) -> list[Tensor]:
        """The states of `hidden_states` with `each_alone`, as fine-tuning takes them: with masks, and with layer drop.

        time_mask (B, F): frames of the encoder's input that are replaced. channel_mask (B, D): channels that are 0.
        In training mode the layers to drop are drawn from torch's default CPU generator.
        """
        _check_waveforms(waveforms, num_samples)
        num_valid = self._count_valid_frames(waveforms, num_samples)
        x = self._project(self.extractor(self._normalise(waveforms, num_samples), num_samples))
        if time_mask is not None:
            x = torch.where(time_mask.unsqueeze(-1), self.mask_embedding.to(x.dtype), x)
        if channel_mask is not None:
            x = x.masked_fill(channel_mask.unsqueeze(1), 0)
        states: list[Tensor] = self.encoder(self._zero_padding(x, num_valid), num_valid, self._draw_kept_layers())
        return states

    def extract(self, waveforms: Tensor, num_samples: Tensor | None = None) -> Tensor:
        """The network's output (B, F, D): the last layer's, normed in the pre-norm style. See `hidden_states`."""
        return self.encoder.final(self.hidden_states(waveforms, num_samples)[-1])

    def forward(
        self,
        batch: PretrainBatch,
        *,
        temperature: float = 0.1,
        with_unmasked: bool = False,
        max_masked: int | None = None,
        contrast: Contrast | None = None,
    ) -> LossTerms | ContrastiveTerms:
        """`forward_contrastive` if there is a contrast, else `forward_pretrain`. DDP and FSDP2 call this name."""
        if contrast is not None:
            return self.forward_contrastive(batch, contrast)
        return self.forward_pretrain(batch, temperature=temperature, with_unmasked=with_unmasked, max_masked=max_masked)

    def forward_pretrain(
        self,
        batch: PretrainBatch,
        *,
        temperature: float = 0.1,
        with_unmasked: bool = False,
        max_masked: int | None = None,
    ) -> LossTerms:
        """Loss terms of one micro-batch, whose crops have equal length.

        temperature: divides the cosines of the head.
        with_unmasked: predict unmasked frames too.
        max_masked: rows that the head computes for masked frames, at least as many as are masked. None: count
        them, for which the host waits for the device. The sums do not depend on it.

        In training mode the layers to drop are drawn from torch's default CPU generator.
        Raises ValueError if labels or mask do not have one entry per frame.
        """
        mask, labels = batch.mask, batch.labels
        self._check_shapes(batch, labels=labels, mask=mask)
        x, _, penalty = self.embed_masked(batch.waveforms, mask)
        states = self.encoder(x, None, self._draw_kept_layers())
        if with_unmasked:
            masked, unmasked = self.predict_all(states[-1], labels, mask, temperature)
            return LossTerms(masked, unmasked, penalty)
        num_rows = int(mask.sum()) if max_masked is None else max_masked
        masked = self.predict_masked(states[-1], labels, mask, temperature, num_rows)
        return LossTerms(masked, None, penalty)

    def forward_contrastive(self, batch: PretrainBatch, contrast: Contrast) -> ContrastiveTerms:
        """The terms of wav2vec 2.0's loss of one micro-batch. Its labels are not read.

        Raises ValueError if mask or negatives do not have one entry per frame.
        """
        self._check_shapes(batch, mask=batch.mask, negatives=contrast.negatives[..., 0])
        x, normed, penalty = self.embed_masked(batch.waveforms, batch.mask)
        states = self.encoder(x, None, self._draw_kept_layers())
        terms: ContrastiveTerms = self.head(normed, self.encoder.final(states[-1]), batch.mask, contrast, penalty)
        return terms

    def _check_shapes(self, batch: PretrainBatch, **tensors: Tensor) -> None:
        shape = (len(batch.waveforms), num_frames(batch.waveforms.shape[1], self.network.conv_layers))
        of_labels = (*shape, self.num_streams) if self.num_streams > 1 else shape
        if any(tensor.shape != (of_labels if name == "labels" else shape) for name, tensor in tensors.items()):
            found = " and ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in tensors.items())
            streams = f", labels of {self.num_streams} streams" if self.num_streams > 1 else ""
            raise ValueError(
                f"{found} must be (utterances, frames) = {shape}{streams}, for waveforms {tuple(batch.waveforms.shape)}"
            )

    def embed_masked(self, waveforms: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The encoder's input (B, F, D) with masked frames replaced; before that, of all frames, the normed conv
        features (B, F, C); and the mean square of the conv features ().
        """
        features = self.extractor(self._normalise(waveforms, None))
        features = scale_gradient(features, self.network.feature_grad_mult)
        penalty = to_at_least_fp32(features).square().mean()
        normed = self.feature_norm(features)
        x = self.input_dropout(self.projection(normed))
        return torch.where(mask.unsqueeze(-1), self.mask_embedding.to(x.dtype), x), normed, penalty

    def predict_masked(
        self, last: Tensor, labels: Tensor, mask: Tensor, temperature: float, num_rows: int
    ) -> FrameSums:
        """Sums over the masked frames, from the last layer's output `last` (B, F, D).

        Unmasked frames are not projected or compared with the classes, except to fill up `num_rows` rows.
        """
        row_indices, counted = select_rows(mask.flatten(), num_rows)
        frames = self.encoder.final(last).flatten(0, 1)[row_indices]
        found: Predictions = self.head(frames, labels.flatten(0, 1)[row_indices], temperature)
        return found.over(counted)

    def predict_all(
        self, last: Tensor, labels: Tensor, mask: Tensor, temperature: float
    ) -> tuple[FrameSums, FrameSums]:
        """Sums over the masked frames, and over the unmasked ones."""
        frames = self.encoder.final(last).flatten(0, 1)
        found: Predictions = self.head(frames, labels.flatten(0, 1), temperature)
        return found.over(mask.flatten()), found.over(~mask.flatten())

    def _project(self, features: Tensor) -> Tensor:
        """(B, F, C) -> (B, F, D)"""
        x: Tensor = self.input_dropout(self.projection(self.feature_norm(features)))
        return x

    def _draw_kept_layers(self) -> list[bool]:
        """One entry per layer: False if layer drop drops it."""
        if not self.training or self.network.layer_drop == 0:
            return [True] * self.network.num_layers
        draws = torch.rand(self.network.num_layers, device="cpu")
        return [draw >= self.network.layer_drop for draw in draws.tolist()]

    def _normalise(self, waveforms: Tensor, num_samples: Tensor | None) -> Tensor:
        """Waveforms with padding set to zero and, in the Large style, mean 0 and variance 1."""
        waveforms = waveforms.to(torch.promote_types(waveforms.dtype, self.projection.weight.dtype))
        if num_samples is None:
            if not self.network.normalize_waveform:
                return waveforms
            return nn.functional.layer_norm(waveforms, waveforms.shape[1:], eps=WAVEFORM_EPS)
        count = num_samples.to(waveforms.device, non_blocking=True)
        return normalise_padded(waveforms, count, self.network)

    def _count_valid_frames(self, waveforms: Tensor, num_samples: Tensor | None) -> Tensor | None:
        """Frames of each row without padding (B,) on the device; None if nothing is padded."""
        lengths = [waveforms.shape[1]] if num_samples is None else num_samples.tolist()
        shortest, layers = receptive_field(self.network.conv_layers), self.network.conv_layers
        if min(lengths) < shortest or max(lengths) > waveforms.shape[1]:
            raise ValueError(
                f"utterances of {lengths} samples, expected {shortest}..{waveforms.shape[1]}: at least "
                "one frame, and no more than the row holds"
            )
        if num_samples is None:
            return None
        valid = torch.tensor([num_frames(n, layers) for n in lengths])
        return valid.to(waveforms.device, non_blocking=True)

    def _zero_padding(self, x: Tensor, num_valid: Tensor | None) -> Tensor:
        if num_valid is None:
            return x
        padding = torch.arange(x.shape[1], device=x.device) >= num_valid[:, None]  # (B, F)
        return x.masked_fill(padding.unsqueeze(-1), 0)


def _check_waveforms(waveforms: object, num_samples: Tensor | None) -> None:
    """Raise UsageError for what would give wrong hidden states or an error that does not name the cause."""
    if not isinstance(waveforms, Tensor):
        raise UsageError(
            "WAVEFORM_BAD",
            f"found {type(waveforms).__module__}.{type(waveforms).__qualname__}; in hidden_states; give a torch tensor "
            "of 16 kHz audio, (B, N) or (N,): torch.from_numpy(array)",
        )
    if not waveforms.is_floating_point():
        raise UsageError(
            "WAVEFORM_BAD",
            f"found {waveforms.dtype}; in hidden_states; give floats with amplitudes in [-1, 1]: for 16-bit samples "
            "waveforms.float() / 32768",
        )
    if waveforms.ndim not in (1, 2) or (waveforms.ndim == 1 and num_samples is not None):
        padded = "" if num_samples is None else " with num_samples"
        raise UsageError(
            "WAVEFORM_BAD",
            f"found the shape {tuple(waveforms.shape)}{padded}; in hidden_states; give utterances (B, N), or one "
            "utterance (N,), which has no padding: channels are no dimension here, choose one or their mean",
        )
