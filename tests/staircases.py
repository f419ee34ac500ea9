"""Staircase corpora, whose waveform level in each frame is the frame's label, and jobs that train on them."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from tests.mini_shards import Spoken, write_shards
from tests.tiny_specs import tiny_network, tiny_training
from wavlm.execution.job import LabelledShards, TrainJob
from wavlm.execution.runtime import Runtime
from wavlm.labels.files import Header, write_labels
from wavlm.loader.batch import Batch
from wavlm.shards import read_index
from wavlm.storage.files import sha256_of

NUM_CLUSTERS = 100


def staircase(key: str, frames: int, seed: int, split: str = "train") -> tuple[Spoken, np.ndarray]:
    """A waveform whose level in each hop of 320 samples is the frame's label; and the labels (F,)."""
    labels = np.random.default_rng(seed).integers(0, NUM_CLUSTERS, frames).astype(np.uint16)
    levels = (labels.astype(np.float32) + 1) / 256  # exact in 16 bits
    extra = np.full(80 + seed % 240, 0.25, np.float32)  # rest of the last frame and a bit more
    return Spoken(key, "speaker", np.concatenate([levels.repeat(320), extra]), None, split), labels


def write_corpus(
    folder: Path, name: str, count: int, valid: int = 6, languages: tuple[str, ...] = ("",)
) -> LabelledShards:
    """Shards of staircases and their labels at 100 Hz. Every second label is wrong on purpose: 50 Hz must skip it.

    The utterances have these languages in turn.
    """
    rng = np.random.default_rng(len(name))
    staircases = [
        staircase(
            f"{name}-{number:03d}",
            int(rng.integers(50, 160)),
            number,
            "valid" if number < valid else "train",
        )
        for number in range(count + valid)
    ]
    spoken = [replace(item, language=languages[at % len(languages)]) for at, (item, _) in enumerate(staircases)]
    shards = write_shards(folder / name / "shards", spoken, per_shard=8)
    labels_of = {spoken.key: labels for spoken, labels in staircases}
    samples_of = {spoken.key: len(spoken.waveform) for spoken, _ in staircases}
    write_all_labels(shards, folder / name / "labels", labels_of, samples_of)
    return LabelledShards(shards=shards, labels=folder / name / "labels")


def write_all_labels(shards: Path, out: Path, labels_of: dict[str, np.ndarray], samples_of: dict[str, int]) -> None:
    out.mkdir(parents=True)
    index = read_index(shards)
    for shard in dict.fromkeys(index.shards):
        keys = index.keys[index.shards == shard]
        header = Header(sha256_of(shards / shard), "0" * 64, '"mfcc"', 100, NUM_CLUSTERS)
        at_100_hz = []
        for key in keys:
            twice = labels_of[key].repeat(2)
            twice[1::2] = 99 - twice[1::2]
            at_100_hz.append(twice[: (samples_of[key] - 400) // 160 + 1])
        write_labels(out / f"{Path(shard).stem}.parquet", list(keys), at_100_hz, header)
    (out / "labels.json").write_text("{}")


def job_of(data: tuple[LabelledShards, ...], out: Path, **changes: object) -> TrainJob:
    job = TrainJob(
        key="0" * 12,
        out=out,
        network=tiny_network(num_layers=1),
        train=tiny_training(max_crop_seconds=2.5),
        num_clusters=NUM_CLUSTERS,
        data=data,
        runtime=Runtime(workers=0),
    )
    return job.model_copy(update=changes)


def levels(batch: Batch) -> torch.Tensor:
    """The label of each frame, read from the level of the waveform: (B, F)."""
    return (batch.waveforms[:, :-80:320] * 256 - 1).round().long()


def digest(batch: Batch) -> str:
    """Hex sha256 of everything in a batch.

    The expected digests of the tests are older than the name SamplerState: the class was called Position.
    """
    parts = (batch.waveforms.numpy(), batch.labels.numpy(), batch.mask.numpy())
    whole = hashlib.sha256(b"".join(np.ascontiguousarray(part).tobytes() for part in parts))
    whole.update(repr((batch.keys, batch.position, batch.after)).replace("SamplerState", "Position").encode())
    return whole.hexdigest()
