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

from wavlm.execution.pool import run_parts
from wavlm.execution.progress import Progress, silent
from wavlm.features.extract import Plan, release
from wavlm.features.frames import label_rate_hz
from wavlm.labels.files import Header, LabelMismatchError, read_labels
from wavlm.labels.part import Part, Share, label_share, read_counts, take_gpu
from wavlm.labels.quality import merged
from wavlm.specs import SAMPLE_RATE_HZ, Features
from wavlm.storage.files import read_json, sha256_of, write_json, written

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
    plan: Plan,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Label every utterance of a shards folder; return the facts."""
    book = read_json(codebook_dir / "codebook.json")
    described = features.model_dump()
    if book["features"] != described:
        raise LabelMismatchError(
            f"labels of {described} asked for, the codebook clusters {book['features']}; at {codebook_dir}"
        )
    shards = read_json(shards_dir / "shards.json")
    parts = [
        Part(
            shards_dir / name,
            out / f"{Path(name).stem}.parquet",
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
    on_gpu = plan.device != "cpu"
    worthwhile = seconds / (SECONDS_PER_GPU if on_gpu else SECONDS_PER_WORKER[features.type])
    processes = min(plan.processes, max(1, int(worthwhile)))
    shares = [
        Share(group, codebook_dir, features, teacher_dir, plan)
        for group in _split(parts, processes * plan.shares or len(parts))
    ]
    run_parts(shares, label_share, processes, progress, take_gpu if on_gpu else None)
    release(plan)
    return _finish(parts, out, plan)


def _split(parts: Sequence[Part], num_groups: int) -> list[tuple[Part, ...]]:
    """Consecutive parts in at most that many groups, whose sizes differ by one at most."""
    num_groups = min(num_groups, len(parts))
    edges = [len(parts) * number // num_groups for number in range(num_groups + 1)]
    return [tuple(parts[start:stop]) for start, stop in pairwise(edges)]


def _finish(parts: Sequence[Part], out: Path, plan: Plan) -> dict[str, Any]:
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


def _quality(parts: Sequence[Part], out: Path) -> dict[str, Any] | None:
    """Quality over all utterances with phones, None if there are none."""
    tables = [read_counts(part.counts, part.header.num_clusters) for part in parts if part.counts.exists()]
    if not tables:
        return None
    joint = merged(tables)
    with written(out / "counts.npz") as file:
        np.savez(file, phones=np.array(joint.phones), counts=joint.counts)
    quality = asdict(joint.quality())
    write_json(out / "quality.json", quality)
    return quality
