"""Audio outside of the folder that a manifest lies in: it was read in place, and a change of it was not seen."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from tests.corpus.corpora import grow, of_folder
from tests.corpus.layouts.trees import layout_of, lines, write
from wavlm.corpus.build import build_corpus
from wavlm.corpus.contents import Outside, audio_root, find_contents, find_folder, read_contents
from wavlm.corpus.digests import Cache
from wavlm.corpus.manifest import ManifestRow, read_manifest
from wavlm.errors import BadDataError
from wavlm.execution.progress import no_progress
from wavlm.specs import CorpusSpec


def write_corpus(root: Path, *, absolute: bool = False, audio_root: str = "") -> CorpusSpec:
    """Manifests in one folder, audio in another one: ann in training, bob held out."""
    grow(root / "audio", ("ann", "bob"), clips=2)
    start = "" if audio_root else f"{root}/audio/" if absolute else "../audio/"
    for name, speaker in (("train", "ann"), ("dev", "bob")):
        listed = ({"audio_filepath": f"{start}{speaker}/{n}.flac", "speaker": speaker} for n in range(2))
        write(root, f"lists/{name}.jsonl", lines(*listed))
    named = {"manifests": ["train.jsonl"], "valid": ["dev.jsonl"], "audio_root": audio_root}
    return of_folder(root / "lists", layout_of(type="nemo", **named, max_left_over_rows=1.0))


def digest(spec: CorpusSpec) -> str:
    return read_contents(find_folder(spec), None, stall_seconds=0, outside=Outside.of(spec)).digest


def build(spec: CorpusSpec, out: Path) -> list[ManifestRow]:
    build_corpus(spec, out, out, no_progress, None, 0)
    return read_manifest(out)


def swap(path: Path) -> None:
    """Other bytes under the same name."""
    shutil.copy(path.with_name("0.flac"), path)
    path.write_bytes(path.read_bytes().replace(b"reference", b"Reference"))


@pytest.mark.parametrize("how", [{"absolute": True}, {"absolute": False}, {"audio_root": "../audio"}])
def test_audio_outside_counts_in_the_content(tmp_path: Path, how: dict[str, object]) -> None:
    spec = write_corpus(tmp_path, **how)  # type: ignore[arg-type]
    rows = build(spec, tmp_path / "made")
    assert [(row.speaker, row.split) for row in rows] == [("ann", "train")] * 2 + [("bob", "valid")] * 2
    root = audio_root(spec, tmp_path / "made")
    assert all((root / row.path).is_file() for row in rows)
    before = digest(spec)
    swap(tmp_path / "audio/ann/1.flac")
    changed = digest(spec)
    (tmp_path / "audio/ann/1.flac").unlink()
    gone = digest(spec)
    (tmp_path / "audio/ann/9.flac").touch()  # no manifest names it
    assert len({before, changed, gone}) == 3
    assert digest(spec) == gone


def test_a_moved_corpus_is_the_same_if_its_paths_are_relative(tmp_path: Path) -> None:
    for how in ("", "../audio"):
        shutil.rmtree(tmp_path / "one", ignore_errors=True)
        shutil.rmtree(tmp_path / "two", ignore_errors=True)
        spec = write_corpus(tmp_path / "one", audio_root=how)
        before, rows = digest(spec), build(spec, tmp_path / f"made{len(how)}")
        (tmp_path / "one").rename(tmp_path / "two")
        source = spec.sources[0].model_copy(update={"path": str(tmp_path / "two/lists")})
        moved = spec.model_copy(update={"sources": (source,)})
        assert digest(moved) == before
        assert build(moved, tmp_path / f"again{len(how)}") == rows


def test_the_audio_root_may_move_alone(tmp_path: Path) -> None:
    spec = write_corpus(tmp_path, audio_root=str(tmp_path / "audio"))
    before, rows = digest(spec), build(spec, tmp_path / "made")
    (tmp_path / "audio").rename(tmp_path / "elsewhere")
    layout = spec.layout.model_copy(update={"audio_root": str(tmp_path / "elsewhere")})
    moved = spec.model_copy(update={"layout": layout})
    assert digest(moved) == before
    assert build(moved, tmp_path / "again") == rows


def test_the_cache_knows_files_outside_without_reading_manifests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = write_corpus(tmp_path)
    folder, outside = find_folder(spec), Outside.of(spec)
    cache = Cache.of(tmp_path / "store", folder, spec.layout)
    assert find_contents(folder, cache, outside) is None
    found = read_contents(folder, cache, stall_seconds=0, outside=outside)
    with monkeypatch.context() as patch:
        patch.setattr("wavlm.corpus.contents.read_layout", None)  # would fail
        assert find_contents(folder, cache, outside) == found
        swap(tmp_path / "audio/bob/1.flac")
        assert find_contents(folder, cache, outside) is None
    assert read_contents(folder, cache, stall_seconds=0, outside=outside).digest != found.digest
    for change in (
        (tmp_path / "audio/bob/1.flac").unlink,
        lambda: swap(tmp_path / "audio/bob/1.flac"),
        lambda: write(tmp_path, "lists/train.jsonl", lines({"audio_filepath": "../audio/ann/0.flac"})),
        (tmp_path / "lists/other.txt").touch,
        (tmp_path / "lists/other.txt").unlink,  # for all that is known it was a manifest
    ):
        change()
        assert find_contents(folder, cache, outside) is None
        again = read_contents(folder, cache, stall_seconds=0, outside=outside)
        assert find_contents(folder, cache, outside) == again
        assert again.digest == digest(spec)


def test_two_layouts_of_one_folder_have_a_cache_each(tmp_path: Path) -> None:
    spec = write_corpus(tmp_path)
    other = spec.layout.model_copy(update={"valid": ()})
    folder = find_folder(spec)
    places = {Cache.of(tmp_path, folder, layout).path for layout in (None, spec.layout, other)}
    assert len(places) == 3


def test_audio_that_changes_after_the_look_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import wavlm.corpus.reading as module

    spec = write_corpus(tmp_path)
    original = module.open_layout

    def change_and_read(*arguments):
        os.utime(tmp_path / "audio/ann/1.flac", ns=(1, 1))
        return original(*arguments)

    monkeypatch.setattr(module, "open_layout", change_and_read)
    with pytest.raises(BadDataError, match=r"FILE_CHANGED: .*ann/1\.flac"):
        build(spec, tmp_path / "made")


def test_a_file_inside_and_one_of_the_same_name_under_the_root_are_two(tmp_path: Path) -> None:
    spec = write_corpus(tmp_path, audio_root="../audio")
    grow(tmp_path / "lists", ("ann",), clips=1)
    swapped = (tmp_path / "lists/ann/0.flac").read_bytes()
    (tmp_path / "lists/ann/0.flac").write_bytes(swapped.replace(b"reference", b"Reference"))
    rows = build(spec, tmp_path / "made")
    expected = hashlib.sha256((tmp_path / "audio/ann/0.flac").read_bytes()).hexdigest()
    assert rows[0].sha256 == expected
