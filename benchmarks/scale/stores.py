"""A fake store: records and seals of all artifacts of a recipe, of real size, in several generations. No audio.

The generations are those of other days: every artifact of each has a key of its own, because its corpora were split
otherwise. Folders are empty but for what is about them, so figures hold for what is read, and not for walks over files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from wavlm.corpus.facts import Amount, CorpusFacts
from wavlm.pipeline.artifacts import Artifact, Corpus, Labels, Model, Registration, Shards
from wavlm.pipeline.plan import plan
from wavlm.pipeline.record import ArtifactRecord, Seal, SealedFile, write_record, write_seal
from wavlm.pipeline.registration import OWN_REGISTRY, RegistrationFacts
from wavlm.pipeline.sealing import library_versions
from wavlm.pipeline.store import Store
from wavlm.shards.facts import ShardsFacts
from wavlm.specs import Recipe
from wavlm.storage.digested import write_digested
from wavlm.storage.facts import Facts
from wavlm.storage.ledger import LEDGER_FILE
from wavlm.storage.seals import RECORD_FILE, read_fields

# Recordings as their publishers count them: openslr.org/12, Libri-Light and GigaSpeech (papers). Others: 12 s each.
RECORDINGS = {
    "librispeech-train-clean-100": 28_539,
    "librispeech-train-clean-360": 104_014,
    "librispeech-train-other-500": 148_688,
    "libri-light-small": 2_588,
    "libri-light-medium": 20_343,
    "libri-light-large": 219_041,
    "gigaspeech": 38_131,
}
OTHERS = 60_000
MEGABYTES_PER_TAR, MEGABYTES_PER_HOUR = 512, 68
HOURS = 500.0  # of a corpus of which no spec says how much there is
SNAPSHOT_FILES = 40


def fill_store(store: Store, recipe: Recipe, generations: int) -> int:
    """Write earlier generations of all that a recipe wants into a store; how many artifacts that makes."""
    versions = library_versions()
    made, first = 0, dict[tuple[str, str], Path]()
    for number in range(1, generations + 1):
        contents: dict[str, str] = {}
        for artifact in plan(of_another_day(recipe, number)):
            write_fake(store, artifact, contents, versions, first)
            first.setdefault((artifact.kind, artifact.name), store.path(artifact))
            made += 1
    return made


def of_another_day(recipe: Recipe, number: int) -> Recipe:
    """The recipe as it was: the same, of corpora that were split otherwise. So it has other keys throughout."""
    roles = {
        role: tuple(
            spec.model_copy(update={"valid_fraction": 0.2 + 0.001 * number, "valid_speakers": ()})
            for spec in getattr(recipe, role)
        )
        for role in ("speech", "noise", "rooms")
    }
    return recipe.model_copy(update=roles)


def write_fake(
    store: Store,
    artifact: Artifact,
    contents: dict[str, str],
    versions: Mapping[str, str | None],
    first: Mapping[tuple[str, str], Path],
) -> None:
    """The folder of an artifact with its record and its seal, as `Store.make` writes them.

    first: the earliest generation of each. Its ledger is that of all, so it gets a further name.
    """
    folder = store.path(artifact)
    folder.mkdir(parents=True)
    before = first.get((artifact.kind, artifact.name))
    if before is not None and not (before / LEDGER_FILE).is_file():
        before = None  # its record lists the files itself
    contents[artifact.key] = hashlib.sha256(artifact.key.encode()).hexdigest()
    seal = Seal(content=contents[artifact.key], inputs={item.key: contents[item.key] for item in artifact.inputs})
    record = ArtifactRecord(
        identity=artifact.identity,
        key=artifact.key,
        inputs=tuple(item.folder for item in artifact.inputs),
        facts=_facts(artifact).model_dump(mode="json"),
        files=dict(_files(artifact)) if before is None else {},
        versions=dict(versions),
        finished_unix=1.8e9,
        seconds=3600.0,
    )
    write_seal(folder, seal)
    if before is None:
        write_record(folder, record)
        return
    content = record.model_dump(mode="json")
    del content["files"]
    (folder / LEDGER_FILE).hardlink_to(before / LEDGER_FILE)
    write_digested(folder / RECORD_FILE, {**content, "ledger": read_fields(before)["ledger"]})


def _hours(artifact: Corpus) -> float:
    return artifact.spec.expected_hours or HOURS


def _files(artifact: Artifact) -> Iterator[tuple[str, SealedFile]]:
    for number, name in enumerate(_names(artifact)):
        yield name, SealedFile(hashlib.sha256(b"%d" % number).hexdigest(), 300_000 + number)


def _names(artifact: Artifact) -> Iterator[str]:
    if isinstance(artifact, Corpus):
        yield "manifest.parquet"
        for number in range(RECORDINGS.get(artifact.name, OTHERS)):
            yield f"audio/{artifact.name}/{number // 500:04d}/{number // 50:05d}/{number:08d}-{number % 7919:06d}.flac"
    elif isinstance(artifact, Shards | Labels):
        corpus = artifact.shards.corpus if isinstance(artifact, Labels) else artifact.corpus
        for number in range(int(_hours(corpus) * MEGABYTES_PER_HOUR / MEGABYTES_PER_TAR) + 1):
            yield f"train-{number:06d}.{'parquet' if isinstance(artifact, Labels) else 'tar'}"
            if isinstance(artifact, Shards):
                yield f"parts/train-{number:06d}.json"
    else:
        yield "model.safetensors" if isinstance(artifact, Model) else "codebook.json"
        for number in range(SNAPSHOT_FILES if isinstance(artifact, Model) else 5):
            yield f"snapshots/step-{number // 10:09d}/{number:05d}.distcp"


class _NoFacts(Facts):
    """What an artifact of another kind reports here: nothing, because a plan does not read it."""


def _facts(artifact: Artifact) -> Facts:
    if isinstance(artifact, Corpus):
        number = RECORDINGS.get(artifact.name, OTHERS)
        amount = Amount(recordings=number, microseconds=round(_hours(artifact) * 3.6e9))
        counts = dict.fromkeys(("with_text", "with_phones", "without_header", "duplicate_contents"), 0)
        return CorpusFacts(
            role=artifact.spec.role, utterances=number, speakers=100, hours=amount.hours, split_rule="speakers",
            split_below=0.01, valid_utterances=0, valid_hours=0.0, found=amount, train=amount, valid=Amount(),
            excluded={}, archives=(), **counts,
        )  # fmt: skip
    if isinstance(artifact, Shards):
        hours = _hours(artifact.corpus)
        return ShardsFacts(
            recordings=1, recordings_used=1, excluded={}, rejected={}, utterances=1, speakers=1, hours=hours,
            valid_hours=0.0, shards=1, bytes=round(hours * MEGABYTES_PER_HOUR * 1e6), repeated_recordings=0,
            in_both_splits=0,
        )  # fmt: skip
    if isinstance(artifact, Registration):
        return RegistrationFacts(
            name="wavlm", version=1, run_id="0", uri=OWN_REGISTRY, source="", sha256="0" * 64, aliases=(), champion=""
        )
    return _NoFacts()
