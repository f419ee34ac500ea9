"""The labels: the number of the nearest centroid for every frame, in one pass over the shards.

A labels folder holds one Parquet file a shard (`train-000000.parquet`: key, labels; it carries the
sha256 of its shard), `labels.json`, and, where utterances know their phones, `quality.json` with
the joint table `counts.npz` and its part of each shard in `quality/`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from wavlm.execution.parts import run_parts
from wavlm.execution.progress import Progress, no_progress
from wavlm.features.extract import ExtractionPlan, release_gpu_memory
from wavlm.features.frames import label_rate_hz
from wavlm.labels.files import Header, LabelMismatchError, read_labels
from wavlm.labels.part import LabelPart, ShardGroup, label_shards, read_counts, take_gpu
from wavlm.labels.quality import merge_counts
from wavlm.specs import SAMPLE_RATE_HZ, Features
from wavlm.storage.files import open_atomic, read_json, sha256_of, write_json

# Starting a worker costs some 3 s of imports: less audio than this is quicker without one.
SECONDS_PER_WORKER = {"mfcc": 3600, "hidden": 600}
# The same for a process with a GPU of its own, which also has to be set up.
SECONDS_PER_GPU = 36_000


def build_labels(  # noqa: PLR0913, PLR0917  what, from where, to where, how
    codebook_dir: Path,
    features: Features,
    shards_dir: Path,
    teacher_dir: Path | None,
    out: Path,
    plan: ExtractionPlan,
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Label every utterance of a shards folder; return the facts."""
    codebook = read_json(codebook_dir / "codebook.json")
    spec = features.model_dump()
    if codebook["features"] != spec:
        raise LabelMismatchError(
            f"labels of {spec} asked for, the codebook clusters {codebook['features']}; at {codebook_dir}"
        )
    shards = read_json(shards_dir / "shards.json")
    parts = [
        LabelPart(
            shards_dir / name,
            out / f"{Path(name).stem}.parquet",
            Header(
                shard_sha256=shards[name]["sha256"],
                codebook_sha256=codebook["sha256"],
                features=json.dumps(spec, sort_keys=True),
                label_rate_hz=label_rate_hz(features),
                num_clusters=codebook["num_clusters"],
            ),
        )
        for name in sorted(shards)
    ]
    for path in {*out.glob("*.parquet"), *out.glob("quality/*.parquet")}:
        if f"{path.stem}.tar" not in shards:  # an earlier attempt's, of other shards
            path.unlink()
    seconds = sum(shards[name]["samples"] for name in shards) / SAMPLE_RATE_HZ
    on_gpu = plan.device != "cpu"
    worthwhile = seconds / (SECONDS_PER_GPU if on_gpu else SECONDS_PER_WORKER[features.type])
    processes = min(plan.processes, max(1, int(worthwhile)))
    groups = [
        ShardGroup(group, codebook_dir, features, teacher_dir, plan)
        for group in _split(parts, processes * plan.groups_per_process or len(parts))
    ]
    run_parts(groups, label_shards, processes, progress, take_gpu if on_gpu else None)
    release_gpu_memory(plan)
    return _finish(parts, out, plan)


def _split(parts: Sequence[LabelPart], num_groups: int) -> list[tuple[LabelPart, ...]]:
    """Consecutive parts in at most that many groups, whose sizes differ by one at most."""
    num_groups = min(num_groups, len(parts))
    edges = [len(parts) * number // num_groups for number in range(num_groups + 1)]
    return [tuple(parts[start:stop]) for start, stop in pairwise(edges)]


def _finish(parts: Sequence[LabelPart], out: Path, plan: ExtractionPlan) -> dict[str, Any]:
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
        "device": plan.device,  # another kind gives other labels where two centroids are as near
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


def _quality(parts: Sequence[LabelPart], out: Path) -> dict[str, Any] | None:
    """Quality over all utterances with phones, None if there are none."""
    tables = [read_counts(part.counts, part.header.num_clusters) for part in parts if part.counts.exists()]
    if not tables:
        return None
    joint = merge_counts(tables)
    with open_atomic(out / "counts.npz") as file:
        np.savez(file, phones=np.array(joint.phones), counts=joint.counts)
    quality = asdict(joint.quality())
    write_json(out / "quality.json", quality)
    return quality
