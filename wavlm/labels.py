"""The labels: the number of the nearest centroid for every frame, in one pass over the shards.

A labels folder holds one Parquet file a shard (`train-000000.parquet`: key, labels; it carries the
sha256 of its shard), `labels.json`, and, where utterances know their phones, `quality.json` with
the joint table `counts.npz` and its part of each shard in `quality/`.
"""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from wavlm.codebook import Centroids
from wavlm.errors import BadDataError
from wavlm.features import Extractor, extractor, label_rate_hz
from wavlm.files import read_json, replaced, sha256_of, write_json, written
from wavlm.pool import run_parts
from wavlm.progress import Progress, silent
from wavlm.quality import JointCounts, joint_counts, merged
from wavlm.shards import Utterance, stream
from wavlm.specs import SAMPLE_RATE_HZ, Features
from wavlm.targets import (
    FRAME_RATE_HZ,
    Header,
    LabelMismatchError,
    Labels,
    num_labels,
    read_header,
    read_labels,
    write_labels,
)

# Starting a worker costs some 3 s of imports: less audio than this is quicker without one.
SECONDS_PER_WORKER = {"mfcc": 3600, "hidden": 600}


@dataclass(frozen=True)
class _Part:
    """One shard to label: everything that a worker process needs."""

    shard: Path
    output: Path
    codebook_dir: Path
    features: Features
    teacher_dir: Path | None
    header: Header

    @property
    def counts(self) -> Path:
        return self.output.parent / "quality" / self.output.name

    def __str__(self) -> str:
        return f"labels of {self.shard}"


def build_labels(  # noqa: PLR0913, PLR0917  what, from where, to where, how
    codebook_dir: Path,
    features: Features,
    shards_dir: Path,
    teacher_dir: Path | None,
    out: Path,
    workers: int,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Label every utterance of a shards folder; return the facts."""
    book = read_json(codebook_dir / "codebook.json")
    described = features.model_dump()
    if book["features"] != described:
        raise LabelMismatchError(
            f"labels of {described} asked for, the codebook clusters {book['features']}; "
            f"at {codebook_dir}"
        )
    shards = read_json(shards_dir / "shards.json")
    parts = [
        _Part(
            shards_dir / name,
            out / f"{Path(name).stem}.parquet",
            codebook_dir,
            features,
            teacher_dir,
            Header(
                shard_sha256=shards[name]["sha256"],
                codebook_sha256=book["sha256"],
                features=json.dumps(described, sort_keys=True),
                label_rate_hz=label_rate_hz(features),
                num_clusters=book["num_clusters"],
            ),
        )
        for name in sorted(shards)
    ]
    for path in {*out.glob("*.parquet"), *out.glob("quality/*.parquet")}:
        if f"{path.stem}.tar" not in shards:  # an earlier attempt's, of other shards
            path.unlink()
    seconds = sum(shards[name]["samples"] for name in shards) / SAMPLE_RATE_HZ
    enough = max(1, int(seconds / SECONDS_PER_WORKER[features.type]))
    run_parts(parts, _label_shard, min(workers, enough), progress)
    return _finish(parts, out)


def assigned(
    utterance: Utterance, extract: Extractor, centroids: Centroids, rate_hz: int
) -> Labels:
    """The labels of one utterance; raises LabelMismatchError unless there is one for each frame."""
    labels = centroids.assign(extract(utterance.waveform), utterance.key)
    expected = int(num_labels(len(utterance.waveform), rate_hz))
    if len(labels) != expected:
        raise LabelMismatchError(
            f"{len(labels)} labels for {len(utterance.waveform)} samples, expected {expected} at "
            f"{rate_hz} Hz; at utterance {utterance.key}"
        )
    return labels


def _label_shard(part: _Part) -> None:
    """Write the labels of one shard, unless they are there and of the same origin."""
    if part.output.exists() and read_header(part.output) == part.header:
        return
    if multiprocessing.parent_process() is not None:  # a worker: one core is its share
        torch.set_num_threads(1)
        faiss.omp_set_num_threads(1)
    if (found := sha256_of(part.shard)) != part.header.shard_sha256:
        raise BadDataError(
            "CHECKSUM", f"sha256 {found}, expected {part.header.shard_sha256}; at {part.shard}"
        )
    extract = extractor(part.features, part.teacher_dir)
    centroids = Centroids.load(part.codebook_dir)
    keys: list[str] = []
    labels: list[Labels] = []
    tables: list[JointCounts] = []
    for utterance in stream(part.shard):
        keys.append(utterance.key)
        labels.append(assigned(utterance, extract, centroids, part.header.label_rate_hz))
        if utterance.phones:
            at_frames = labels[-1][:: part.header.label_rate_hz // FRAME_RATE_HZ]
            tables.append(joint_counts(utterance.phones, at_frames, part.header.num_clusters))
    if tables:  # first, so that labels that exist have their counts
        _write_counts(part.counts, merged(tables))
    else:
        part.counts.unlink(missing_ok=True)
    write_labels(part.output, keys, labels, part.header)


def _write_counts(path: Path, joint: JointCounts) -> None:
    phone, label = np.nonzero(joint.counts)
    table = pa.table(
        {
            "phone": [joint.phones[number] for number in phone],
            "label": label.astype(np.uint16),
            "frames": joint.counts[phone, label],
        }
    )
    path.parent.mkdir(exist_ok=True)
    with replaced(path) as temporary:
        pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)


def _read_counts(path: Path, num_clusters: int) -> JointCounts:
    table = pq.read_table(path, page_checksum_verification=True)
    phones = table["phone"].to_pylist()
    names = tuple(sorted(set(phones)))
    row = {name: number for number, name in enumerate(names)}
    counts = np.zeros((len(names), num_clusters), np.int64)
    counts[[row[name] for name in phones], table["label"].to_numpy()] = table["frames"].to_numpy()
    return JointCounts(names, counts)


def _finish(parts: Sequence[_Part], out: Path) -> dict[str, Any]:
    """Look at all labels once more: what the whole set looks like, and how good it is."""
    header = parts[0].header
    histogram = np.zeros(header.num_clusters, np.int64)
    num_repeated = num_pairs = num_utterances = 0
    files = {}
    for part in parts:
        shard = read_labels(out, part.shard.name)
        for labels in shard.labels:
            histogram += np.bincount(labels, minlength=header.num_clusters)
            num_repeated += int((labels[1:] == labels[:-1]).sum())
            num_pairs += max(0, len(labels) - 1)
        num_utterances += len(shard.keys)
        files[part.shard.name] = sha256_of(part.output)
    shares = histogram[histogram > 0] / max(1, histogram.sum())
    facts: dict[str, Any] = {
        "num_utterances": num_utterances,
        "num_labels": int(histogram.sum()),
        "label_rate_hz": header.label_rate_hz,
        "num_clusters": header.num_clusters,
        "used_clusters": int((histogram > 0).sum()),
        "entropy_bits": float(-(shares * np.log2(shares)).sum()),
        "largest_share": float(shares.max(initial=0)),
        # Speech labels come in runs; a share near 1 / K would mean that something is broken.
        "repeated_share": num_repeated / max(1, num_pairs),
        "quality": _quality(parts, out),
    }
    write_json(out / "labels.json", {**facts, "files": files})
    return facts


def _quality(parts: Sequence[_Part], out: Path) -> dict[str, Any] | None:
    """Quality over all utterances with phones, None if there are none."""
    tables = [
        _read_counts(part.counts, part.header.num_clusters)
        for part in parts
        if part.counts.exists()
    ]
    if not tables:
        return None
    joint = merged(tables)
    with written(out / "counts.npz") as file:
        np.savez(file, phones=np.array(joint.phones), counts=joint.counts)
    quality = asdict(joint.quality())
    write_json(out / "quality.json", quality)
    return quality
