"""How often the bytes of an archive are read and written, and how often they are kept: FLAC in a tar to sealed shards.

The tar is a small Libri-Light: chapters of fake speech with pauses, and the JSON beside each. It lies on the disk, as
after a download. Counted are the bytes of all system calls of the process that makes corpus and shards (Linux counts
them in /proc/self/io), in archive sizes.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import soundfile

from benchmarks.scale import Row, cost_of

CHAPTERS, CHAPTER_SECONDS = 24, 240
BEFORE, GOALS = ("13.1", "2.0", "3.0"), ("<= 2.2", "<= 1.1", "<= 1.05")
RATE_HZ = 16_000
VOICE_SECONDS, PAUSE_SECONDS = 7.6, 0.4


def measure(size: int | None = None) -> list[Row]:
    """Archive sizes that are read, written and kept. `size`: chapters of four minutes."""
    size = size or CHAPTERS
    return [
        Row(f"keep {keep or 'not given'}: {what}", value, "archive sizes", size, before, goal if keep else "")
        for keep in ("none", None)
        for (what, value), before, goal in zip(cost_of(pack, size, keep).result.items(), BEFORE, GOALS, strict=True)
    ]


def pack(chapters: int, keep: str | None) -> dict[str, float]:
    """Make corpus and shards of an archive; what it took, in archive sizes."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_archive(folder / "warm.tar", 2)
        write_archive(folder / "small.tar", chapters)
        _pack(folder / "warm", folder / "warm.tar", keep)  # imports read files, too
        return _pack(folder / "store", folder / "small.tar", keep)


def write_archive(path: Path, chapters: int) -> None:
    """A tar in the layout of Libri-Light."""
    with tarfile.open(path, "w") as tar:
        for number in range(chapters):
            stem = f"small/{number % 7 + 1}/book_{number}_librivox_64kb_mp3/book_{number:02d}_64kb"
            samples, voices = _speech(number)
            file = io.BytesIO()
            soundfile.write(file, samples, RATE_HZ, format="FLAC", subtype="PCM_16")
            side = {"speaker": str(number % 7 + 1), "book_meta": {}, "snr": 5.4, "voice_activity": voices}
            for name, blob in ((f"{stem}.flac", file.getvalue()), (f"{stem}.json", json.dumps(side).encode())):
                info = tarfile.TarInfo(name)
                info.size = len(blob)
                tar.addfile(info, io.BytesIO(blob))


def _speech(seed: int) -> tuple[np.ndarray, list[list[float]]]:
    """Coloured noise with pauses, which FLAC packs about as well as speech; and where it is not silent."""
    rng = np.random.default_rng(seed)
    samples = np.cumsum(rng.standard_normal(CHAPTER_SECONDS * RATE_HZ))
    samples = np.diff(samples, prepend=0.0) + 0.9 * np.roll(np.diff(samples, prepend=0.0), 1)
    samples *= 0.03 * (1.1 + np.sin(2 * np.pi * 3 * np.arange(len(samples)) / RATE_HZ))
    voices = []
    for start in np.arange(0, CHAPTER_SECONDS, VOICE_SECONDS + PAUSE_SECONDS):
        end = min(float(start) + VOICE_SECONDS, CHAPTER_SECONDS)
        samples[round(end * RATE_HZ) : round((end + PAUSE_SECONDS) * RATE_HZ)] *= 0.01
        voices.append([float(start), end])
    return samples, voices


def _pack(root: Path, archive: Path, keep: str | None) -> dict[str, float]:
    from wavlm.corpus.build import build_corpus
    from wavlm.execution.progress import no_progress
    from wavlm.pipeline.artifacts import Corpus, Shards
    from wavlm.pipeline.store import Store
    from wavlm.shards import build_shards
    from wavlm.shards.recordings import Intake
    from wavlm.specs import ShardSpec

    store, size = Store(root), archive.stat().st_size
    corpus = Corpus(_corpus(archive, keep))
    shards = Shards(ShardSpec(min_seconds=1.0, max_seconds=30.0), corpus)
    store.downloads.mkdir(parents=True)
    there = store.downloads / corpus.spec.sources[0].file_name  # type: ignore[union-attr]
    there.hardlink_to(archive)
    before = _counted()
    store.make(corpus, lambda out: build_corpus(corpus.spec, store.downloads, out, no_progress, None, 0))
    intake = Intake(stall_seconds=0, archives=store.downloads)
    store.make(shards, lambda out: build_shards(shards.spec, store.path(corpus), out, 1, no_progress, intake))
    after = _counted()
    kept = _kept(store, corpus, shards)
    return {
        "read": (after["rchar"] - before["rchar"]) / size,
        "written": (after["wchar"] - before["wchar"]) / size,
        "kept": kept / size,
    }


def _corpus(archive: Path, keep: str | None) -> Any:
    from wavlm.specs import CorpusSpec, HttpsSource
    from wavlm.specs.publishers import LibrilightLayout

    with archive.open("rb") as file:
        digest = hashlib.file_digest(file, "md5").hexdigest()
    source = HttpsSource(type="https", urls=("https://example.org/small.tar",), md5=digest, format="tar")
    words = dict.fromkeys(("description", "homepage", "license", "citation"), "")
    layout = LibrilightLayout(type="librilight", root="small")
    return CorpusSpec.model_validate(
        {"name": "small", "role": "speech", "sources": (source,), "layout": layout, "keep": keep, **words}
    )


def _counted() -> dict[str, int]:
    """Bytes of the system calls of this process so far."""
    lines = (line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return {name: int(value) for name, value in lines}


def _kept(store: Any, corpus: Any, shards: Any) -> int:
    """The bytes that house-keeping leaves of the archive, the corpus and the shards."""
    from wavlm.pipeline.garbage.delete import delete_item
    from wavlm.pipeline.garbage.find import find_garbage
    from wavlm.pipeline.garbage.kept import Kept, KeptRecipe
    from wavlm.specs.yaml import read_recipe

    recipe = read_recipe(Path(__file__).parents[2] / "data_specs/recipes/mini-librispeech.yaml")
    used = KeptRecipe(recipe, (corpus, shards), is_used=True)
    kept = Kept((used,), {corpus.key: "", shards.key: ""}, (), (), frozenset())
    for item in find_garbage(store, kept)[0]:
        if error := delete_item(item, store, kept):
            raise error
    folders = (store.downloads, store.path(corpus), store.path(shards))
    return sum(path.stat().st_size for folder in folders for path in folder.rglob("*") if path.is_file())
