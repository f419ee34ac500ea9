"""What is trained where a figure needs training: two networks, and a job on given speech."""

from __future__ import annotations

from benchmarks.speech import NUM_CLUSTERS, Speech
from wavlm.execution.job import TrainJob
from wavlm.execution.runtime import Runtime
from wavlm.specs import ConvLayer, MixSpec, NetworkSpec, TrainSpec

# The demo's: the paper's kernels and strides, fewer channels.
_KERNELS_STRIDES = ((10, 5), (3, 2), (3, 2), (3, 2), (3, 2), (2, 2), (2, 2))
_CHANNELS = (24, 32, 48, 64, 96, 112, 112)
SMALL = NetworkSpec(
    extractor_norm="group",
    norm_first=False,
    normalize_waveform=False,
    conv_layers=tuple(
        ConvLayer(channels=channels, kernel=kernel, stride=stride)
        for channels, (kernel, stride) in zip(_CHANNELS, _KERNELS_STRIDES, strict=True)
    ),
    width=128,
    ffn_width=512,
    num_layers=3,
    num_heads=2,
    position_kernel=32,
    projection_width=128,
)

# WavLM Base's: a fifth of the utterances get a stretch of another one.
MIX = MixSpec(name="wavlm-base", probability=0.2)


def job(audio: Speech, name: str, network: NetworkSpec, train: TrainSpec, run: Runtime) -> TrainJob:
    """Train on this speech, mixed, with labels that are drawn; `name` is that of its folder."""
    return TrainJob(
        key="0" * 12,
        out=audio.work / name,
        network=network,
        train=train,
        num_clusters=NUM_CLUSTERS,
        data=(audio.write_random_labels(),),
        mix=MIX,
        runtime=run,
    )
