"""Stage labels: the number of the nearest centroid for every frame, in one pass over the shards.

A labels folder holds:

    train-000000.parquet   the labels of one shard (wavlm.labels.files)
    labels.json            the facts, and the sha256 of each label file; written last
    quality.json           label quality, counts.npz and quality/: only where utterances have timed phones
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from wavlm.execution.parts import run_parts
from wavlm.execution.progress import Progress, no_progress
from wavlm.execution.rates import DECODE_RATE, MFCC_RATE
from wavlm.features.extract import ExtractionPlan, release_gpu_memory
from wavlm.labels.code_counts import joint_pnmi
from wavlm.labels.counts import read_counts, write_total
from wavlm.labels.facts import (
    OF_STREAMS,
    CodebookFacts,
    LabelsFacts,
    Quality,
    find_grid,
    labels_path,
    read_codebook,
)
from wavlm.labels.files import Header, LabelMismatchError, label_file
from wavlm.labels.likeness import refuse_unlike
from wavlm.labels.part import LabelPart, ShardGroup, label_shards, take_gpu
from wavlm.labels.quality import NO_COUNTS, JointCounts, cluster_shares, entropy_bits, merge_counts
from wavlm.labels.reuse import take_labels
from wavlm.labels.tally import LabelTally, tally_files
from wavlm.nn.description import read_network
from wavlm.shards import ListedShard, read_listing
from wavlm.shards.listing import read_sample_rate
from wavlm.specs import UNKNOWN_LANGUAGE, Features, HiddenFeatures
from wavlm.specs.identity import canonical
from wavlm.specs.shapes import forward_flops
from wavlm.storage.files import remove_noted, write_json

# Starting a worker takes some 3 s of a core, for imports: it is worth it for this much work.
CORE_SECONDS_PER_WORKER = 10
HIDDEN_FLOPS = 15e9  # operations per second of one core; measured with the demo's network
# The same for a process with its own GPU, which also has to be set up.
SECONDS_PER_GPU = 36_000
LENGTH_SECONDS = 10.0  # of a typical utterance; attention costs more in longer ones


def build_labels(  # noqa: PLR0913, PLR0917  what, from where, to where, how
    codebook_dir: Path,
    features: Features | None,
    shards_dir: Path,
    teacher_dir: Path | None,
    out: Path,
    plan: ExtractionPlan,
    progress: Progress = no_progress,
    siblings: Iterable[Path] = (),
) -> LabelsFacts:
    """Label every utterance of a shards folder; return the facts. Label files that fit are kept.

    `siblings`: complete folders of labels of the same corpus, of which files are taken over that fit.

    Raises LabelMismatchError if the codebook clusters other features, and the errors of `label_shards`.
    """
    codebook = read_codebook(codebook_dir)
    if canonical(codebook.features) != canonical(features):
        raise LabelMismatchError(
            f"labels of {canonical(features)} asked for, the codebook clusters {canonical(codebook.features)}; "
            f"at {codebook_dir}"
        )
    grid = find_grid(codebook.grid, read_sample_rate(shards_dir), codebook_dir)
    refuse_unlike(codebook_dir, codebook, shards_dir)
    listing = read_listing(shards_dir)
    parts = [
        LabelPart(shards_dir / name, label_file(out, name), _header(listing[name], codebook))
        for name in sorted(listing)
    ]
    _remove_others(parts, out)
    taken = take_labels(parts, siblings)
    todo = [part for part in parts if part not in taken]
    seconds = sum(listing[part.shard.name].samples for part in todo) / grid.sample_rate_hz
    processes = _num_processes(seconds, features, teacher_dir, plan)
    groups = [
        ShardGroup(group, codebook_dir, codebook, teacher_dir, plan, grid)
        for group in _split(todo, processes * plan.groups_per_process or len(parts))
    ]
    run_parts(groups, label_shards, processes, progress, None if plan.device == "cpu" else take_gpu)
    release_gpu_memory(plan)
    return _finish(parts, out, plan).model_copy(update={"files_reused": len(taken)})


def _header(shard: ListedShard, codebook: CodebookFacts) -> Header:
    return Header(
        shard_sha256=shard.sha256,
        codebook_sha256=codebook.sha256,
        features=json.dumps(canonical(codebook.features) or {"type": codebook.type}, sort_keys=True),
        label_rate_hz=codebook.label_rate_hz,
        num_clusters=codebook.num_clusters,
        num_streams=codebook.num_streams,
        grid=codebook.grid,
    )


def _remove_others(parts: Sequence[LabelPart], out: Path) -> None:
    """Remove files that an earlier attempt made of other shards."""
    names = {part.output.name for part in parts}
    for path in (*out.glob("*.parquet"), *out.glob("quality/*.parquet")):
        if path.name not in names:
            remove_noted(path)


def _num_processes(seconds: float, features: Features | None, teacher_dir: Path | None, plan: ExtractionPlan) -> int:
    """As many processes as the plan has, but no more than the audio is worth."""
    if plan.device == "cpu":
        worthwhile = _core_seconds(seconds, features, teacher_dir) / CORE_SECONDS_PER_WORKER
    else:
        worthwhile = seconds / SECONDS_PER_GPU
    return min(plan.processes, max(1, int(worthwhile)))


def _core_seconds(seconds: float, features: Features | None, teacher_dir: Path | None) -> float:
    """What one core needs for so much audio."""
    if not isinstance(features, HiddenFeatures) or teacher_dir is None:
        return seconds * (1 / DECODE_RATE + 1 / MFCC_RATE)
    network = read_network(teacher_dir).network
    return seconds * forward_flops(network, LENGTH_SECONDS, features.layer) / HIDDEN_FLOPS


def _split(parts: Sequence[LabelPart], num_groups: int) -> list[tuple[LabelPart, ...]]:
    """Consecutive parts in at most that many groups, whose sizes differ by at most one. No parts: no groups."""
    num_groups = max(1, min(num_groups, len(parts)))
    edges = [len(parts) * number // num_groups for number in range(num_groups + 1)]
    return [tuple(parts[start:stop]) for start, stop in pairwise(edges) if stop > start]


def _finish(parts: Sequence[LabelPart], out: Path, plan: ExtractionPlan) -> LabelsFacts:
    """Read all labels once more, in parts, and write what they are like and how good they are."""
    header = parts[0].header
    workers = plan.processes if plan.device == "cpu" else 1
    tally = tally_files(out, [part.shard.name for part in parts], header.num_clusters, workers, header.num_streams)
    shares = cluster_shares(tally.histogram[0])
    quality, by_language = _write_quality(parts, out)
    facts = LabelsFacts(
        device=plan.device,
        num_utterances=tally.num_utterances,
        num_labels=int(tally.histogram[0].sum()),
        label_rate_hz=header.label_rate_hz,
        num_clusters=header.num_clusters,
        used_clusters=len(shares),
        entropy_bits=entropy_bits(shares),
        largest_share=float(shares.max(initial=0)),
        # Labels of speech come in runs: a share near 1 / K would mean that something is broken.
        repeated_share=tally.num_repeated / max(1, tally.num_pairs),
        quality=quality,
        quality_by_language=by_language,
        **_describe_streams(parts, tally),
    )
    left_out = {"files_reused"} | (set(OF_STREAMS) if header.num_streams == 1 else set())
    write_json(labels_path(out), {**facts.model_dump(mode="json", exclude=left_out), "files": dict(tally.sha256s)})
    return facts


def _describe_streams(parts: Sequence[LabelPart], tally: LabelTally) -> dict[str, Any]:
    """What is said of several streams alone."""
    if len(tally.histogram) == 1:
        return {}
    return {
        "num_streams": len(tally.histogram),
        "stream_entropy_bits": tuple(entropy_bits(cluster_shares(stream)) for stream in tally.histogram),
        "joint_pnmi": joint_pnmi([part.counts for part in parts if part.counts.exists()]),
    }


def _write_quality(parts: Sequence[LabelPart], out: Path) -> tuple[Quality | None, dict[str, Quality]]:
    """Quality over all utterances with phones, None if there are none; and by language, if any is known.

    Only one table is held per language, however many shards there are.
    """
    of_language: dict[str, JointCounts] = {}
    for part in parts:
        if part.counts.exists():
            for language, table in read_counts(part.counts, part.header.num_clusters).items():
                of_language[language] = merge_counts([of_language.get(language, NO_COUNTS), table])
    if not of_language:
        return None, {}
    joint = merge_counts(of_language.values())
    write_total(out, joint)
    quality = joint.quality()
    write_json(out / "quality.json", quality.model_dump(mode="json"))
    by_language = {name: table.quality() for name, table in sorted(of_language.items())}
    return quality, by_language if set(by_language) != {UNKNOWN_LANGUAGE} else {}
