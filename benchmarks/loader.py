"""Our loader against webdataset + soundfile on the same shards, and against decoding alone.

All sides run in this process on one core, each peer in turn with us alone: what one leaves behind
in the allocator and the caches slows the other. What counts is delivered audio: seconds of crops in
the batches that come out, utterances of similar length cropped to the shortest of their micro-batch,
mixed with probability .2, with a label a frame. Against webdataset our waveforms are made float32
and masked, as its are; against decoding, which gives int16 samples, they stay as they travel: a GPU
makes float32 and masks itself.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.harness import Claim, Figure, compare, find_missing
from benchmarks.jobs import MIX, job
from benchmarks.speech import Speech, speech
from benchmarks.workload import BASE
from wavlm.execution.job import TrainJob
from wavlm.execution.runtime import Runtime
from wavlm.labels.files import read_labels
from wavlm.loader.epochs import SamplerState
from wavlm.loader.loader import loader, make_sampler
from wavlm.loader.masking import Spans
from wavlm.shards import Reader, read_index
from wavlm.shards.flac import decode_flac_int16
from wavlm.specs import HOP_SAMPLES, SAMPLE_RATE_HZ, MaskSpec, TrainSpec
from wavlm.specs.base import FRAME_RATE_HZ
from wavlm.specs.frames import PAPER_FRAMES
from wavlm.specs.shapes import num_frames

Waveforms = npt.NDArray[np.float32]
Pipeline = Callable[[], float]  # does an epoch's worth of work; seconds of audio delivered

GROUP_SECONDS = 87.5  # what the paper calls a GPU's batch
POOL_UTTERANCES = 256  # of the peer's pool, which it sorts by length before it cuts micro-batches
TARGET_RATE = 9000  # seconds of audio a second that a GPU is to train on, Base
CORES = 4  # for loading, a GPU

CLAIMS = (
    Claim("loader.webdataset", "x", "webdataset + soundfile", cpu=">= 1.4", devices=("cpu",)),
    Claim("loader.decode", "x", "decoding alone, same decoder", cpu=">= 0.9", devices=("cpu",)),
    Claim("loader.rate", "x real time per core", cpu=None, devices=("cpu",)),
    Claim("loader.data_wait", "% of a step", cpu="<= 1", devices=("cpu",)),
)


def main(device: str) -> Iterator[Figure]:  # noqa: ARG001 - loading is the CPU's work everywhere
    webdataset, decode, rate, data_wait = CLAIMS
    if reason := find_missing("webdataset", "soundfile"):
        yield from (claim.skip("cpu", reason) for claim in CLAIMS)
        return
    with speech() as audio:
        made = _job(audio)
        pairs: tuple[dict[str, Pipeline], ...] = (
            {"packed": _ours(made, as_floats=False), "decode": _decode(audio)},
            {"ours": _ours(made, as_floats=True), "webdataset": _webdataset(audio, made)},
        )
        seconds: dict[str, float] = {}
        rates: dict[str, float] = {}
        for pair in pairs:
            seconds |= {name: pipeline() for name, pipeline in pair.items()}
            times = compare(pair, rounds=9)
            rates |= {name: seconds[name] / times[name].median for name in pair}
    stored = f"{seconds['packed'] / seconds['decode']:.3f} of the stored audio is in our crops"
    speed = ", ".join(f"{name} {value:,.0f}" for name, value in rates.items())
    note = f"x real time per core: {speed}; {stored}; {audio.note}"
    yield webdataset.figure(rates["ours"] / rates["webdataset"], "cpu", note)
    yield decode.figure(rates["packed"] / rates["decode"], "cpu", f"int16 samples out; {note}")
    yield rate.figure(rates["packed"], "cpu", f"int16 samples out; {audio.note}")
    loaded = CORES * rates["packed"]
    late = max(0.0, 1 - loaded / TARGET_RATE)
    words = f"computed: {CORES} cores load {loaded:,.0f} x, a GPU takes {TARGET_RATE:,} x"
    yield data_wait.figure(100 * late, "cpu", words)


def _job(audio: Speech) -> TrainJob:
    train = TrainSpec(
        updates=1,
        warmup_updates=0,
        peak_lr=1e-4,
        batch_seconds=GROUP_SECONDS,
        group_seconds=GROUP_SECONDS,
    )
    return job(audio, "loader", BASE, train, Runtime(workers=0))


def _ours(made: TrainJob, *, as_floats: bool) -> Pipeline:
    """An epoch a call."""
    batches = loader(made, SamplerState())
    num_micro_batches = make_sampler(made).epoch(0).num_micro_batches
    here = torch.device("cpu")

    def epoch() -> float:
        loaded = islice(batches, num_micro_batches)
        return sum((batch.to(here) if as_floats else batch).seconds for batch in loaded)

    return epoch


def _decode(audio: Speech) -> Pipeline:
    """Every FLAC of the train split, from memory, with the decoder that our loader has."""
    reader, index = Reader(audio.shards), read_index(audio.shards)
    blobs = [
        reader.read_blob(index.shards[row], int(index.offsets[row]), int(index.sizes[row]))
        for row in index.rows_of("train")
    ]
    return lambda: sum(len(decode_flac_int16(blob)) for blob in blobs) / SAMPLE_RATE_HZ


def _webdataset(audio: Speech, made: TrainJob) -> Pipeline:
    """The same work as webdataset's users write it: a pipeline, a pool that is sorted, micro-batches."""
    import soundfile
    import webdataset

    tars = sorted(str(path) for path in audio.shards.glob("train-*.tar"))
    found = [read_labels(made.data[0].labels_there, tar) for tar in tars]
    labels = {key: row[::2] for shard in found for key, row in shard.by_key.items()}
    rng = np.random.default_rng(0)

    def decode_sample(sample: dict[str, Any]) -> tuple[str, Waveforms]:
        waveform, _ = soundfile.read(io.BytesIO(sample["flac"]), dtype="float32")
        return sample["__key__"], waveform

    def epoch() -> float:
        samples = webdataset.WebDataset(tars, shardshuffle=False).map(decode_sample)
        delivered = 0
        for group in _groups(samples, int(GROUP_SECONDS * FRAME_RATE_HZ)):
            waveforms, _, _ = _batch(group, labels, made.train.mask, rng)
            delivered += waveforms.numel()
        return delivered / SAMPLE_RATE_HZ

    return epoch


def _groups(samples: Any, most_frames: int) -> Iterator[list[tuple[str, Waveforms]]]:
    """Utterances of similar length, as many as fit."""
    stream = iter(samples)
    while pool := list(islice(stream, POOL_UTTERANCES)):
        pool.sort(key=lambda sample: -len(sample[1]))
        while pool:
            size = max(1, most_frames // num_frames(len(pool[0][1])))
            yield pool[:size]
            del pool[:size]


def _batch(
    group: list[tuple[str, Waveforms]],
    labels: dict[str, npt.NDArray[np.uint16]],
    mask: MaskSpec,
    rng: np.random.Generator,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    frames = min(num_frames(len(waveform)) for _, waveform in group)
    crops, targets = [], []
    for key, waveform in group:
        first = int(rng.integers(num_frames(len(waveform)) - frames + 1))
        crops.append(waveform[first * HOP_SAMPLES :][: PAPER_FRAMES.samples_of(frames)])
        targets.append(labels[key][first : first + frames].astype(np.int64))
    mixed = _mix(np.stack(crops), rng)
    seeds = rng.integers(2**64, size=len(group), dtype=np.uint64)
    masks = Spans(frames, mask, seeds).masks(torch.device("cpu"))
    return (
        torch.from_numpy(mixed),
        torch.from_numpy(np.stack(targets)),
        masks,
    )


def _mix(waveforms: Waveforms, rng: np.random.Generator) -> Waveforms:
    """Utterance mixing as in the paper's Algorithm 1, on slices."""
    mixed = waveforms.copy()
    size, num_samples = waveforms.shape
    for row in np.flatnonzero(rng.random(size) < MIX.probability) if size > 1 else ():
        partner = waveforms[(row + rng.integers(1, size)) % size]
        length = int(rng.integers(num_samples // 2 + 1))
        start, source = rng.integers(num_samples - length + 1, size=2)
        energy = np.mean(np.square(waveforms[row])) / 10 ** (rng.uniform(-5, 5) / 10)
        scale = np.sqrt(energy / max(float(np.mean(np.square(partner))), 1e-12))
        mixed[row, start : start + length] += scale * partner[source : source + length]
    return mixed
