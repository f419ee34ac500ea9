"""Corpora of manifests and containers, from the recipe to shards, and when something comes into them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.corpus.corpora import grow
from tests.corpus.layouts.trees import write
from tests.folders import RECIPE, add_speakers, grow_both
from wavlm.corpus.manifest import read_manifest
from wavlm.pipeline.store import Store
from wavlm.shards import read_index

webdataset = pytest.importorskip("webdataset")

CORPUS = """name: voices
role: speech
description: x
homepage: x
license: x
citation: x
sources: [{{type: folder, path: ../../data}}]
layout: {layout}
valid_fraction: 0.3
"""


def write_project(root: Path, layout: str) -> Path:
    write(root, "specs/corpora/voices.yaml", CORPUS.format(layout=layout))
    write(root, "specs/recipes/small.yaml", RECIPE)
    return root / "specs/recipes/small.yaml"


def keys(store: Store, corpus: object) -> dict[str, tuple[str, int]]:
    return {row.key: (row.split, row.generation) for row in read_manifest(store.path(corpus))}  # type: ignore[arg-type]


def list_speakers(root: Path, *speakers: str) -> None:
    """A data directory of Kaldi over long files outside of it: two segments of each."""
    grow(root / "audio", speakers, clips=1)
    names = [(who, f"{who}-{part}", part / 4) for who in speakers for part in range(2)]
    write(root, "data/wav.scp", "".join(f"{who} ../audio/{who}/0.flac\n" for who in speakers))
    write(root, "data/segments", "".join(f"{name} {who} {start} {start + 0.25}\n" for who, name, start in names))
    write(root, "data/utt2spk", "".join(f"{name} {who}\n" for who, name, _ in names))


def test_a_data_directory_over_audio_elsewhere_grows(tmp_path: Path) -> None:
    recipe = write_project(tmp_path, "{type: kaldi}")
    text = recipe.read_text().replace("min_seconds: 0.4", "min_seconds: 0.2")
    recipe.write_text(text)
    store = Store(tmp_path / "store")
    list_speakers(tmp_path, "ann", "bob", "cid")
    corpus, shards = grow_both(recipe, store)
    first = keys(store, corpus)
    assert set(first) == {f"{who}-{part}" for who in ("ann", "bob", "cid") for part in range(2)}
    assert len(read_index(store.path(shards))) == 6
    list_speakers(tmp_path, "ann", "bob", "cid", "dan")
    corpus, shards = grow_both(recipe, store)
    second = keys(store, corpus)
    assert {key: second[key] for key in first} == first
    assert {generation for _, generation in second.values()} == {1, 2}
    assert len(read_index(store.path(shards))) == 8


def add_tar(path: Path, speaker: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    add_speakers(path.parent.parent / "audio", (speaker,), clips=3)
    with webdataset.TarWriter(str(path)) as sink:
        for clip in range(3):
            blob = (path.parent.parent / f"audio/{speaker}/{clip}.flac").read_bytes()
            sink.write({"__key__": f"{speaker}-{clip}", "flac": blob, "json": {"speaker": speaker}})


def test_a_folder_of_tars_grows_by_a_tar(tmp_path: Path) -> None:
    recipe = write_project(tmp_path, "{type: webdataset}")
    store = Store(tmp_path / "store")
    for number, speaker in enumerate(("ann", "bob", "cid")):
        add_tar(tmp_path / f"data/{number}.tar", speaker)
    corpus, shards = grow_both(recipe, store)
    first = keys(store, corpus)
    assert (len(first), len(read_index(store.path(shards)))) == (9, 9)
    assert [split for split, _ in first.values()].count("valid") > 0
    add_tar(tmp_path / "data/9.tar", "dan")
    corpus, shards = grow_both(recipe, store)
    second = keys(store, corpus)
    assert {key: second[key] for key in first} == first
    assert {key for key, (_, generation) in second.items() if generation == 2} == {f"9__dan-{n}" for n in range(3)}
    assert len(read_index(store.path(shards))) == 12
