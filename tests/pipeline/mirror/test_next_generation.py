"""The next generation on a machine that never had the one before: parts that stay the same come from the mirror."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.folders import add_speakers, corpus_and_shards, grow_both, make_shards, read_resolved, write_project
from tests.tasks.conftest import build
from wavlm.execution.runtime import Runtime
from wavlm.pipeline.artifacts import Labels, Shards
from wavlm.pipeline.grow import grow
from wavlm.pipeline.mirror.contents import objects_of
from wavlm.pipeline.mirror.entry import list_entries
from wavlm.pipeline.mirror.push import push
from wavlm.pipeline.mirror.sharing import fill_sibling
from wavlm.pipeline.plan import plan
from wavlm.pipeline.record import read_record
from wavlm.pipeline.resolve import corpora_of
from wavlm.pipeline.store import Store
from wavlm.shards import part
from wavlm.shards.facts import ShardsFacts
from wavlm.specs.yaml import read_recipe
from wavlm.storage.facts import Facts
from wavlm.storage.mirror.mirror import Mirror


class Site:
    """One machine has made and pushed a first generation; more speech came in; another machine has an empty store."""

    def __init__(self, folder: Path, address: str) -> None:
        self.recipe = write_project(folder, speakers=("ann", "bob", "cid", "dan", "fay"))
        self.runtime = Runtime(mirror=address)
        self.first = Store(folder / "first")
        _, self.before = grow_both(self.recipe, self.first)
        self.labels = self.labels_of(self.first)
        for item in self.labels.needs:
            if not self.first.is_complete(item):
                self.first.make(item, lambda out, item=item: build(item, self.first, out))
        self.first.make(self.labels, self._label)
        with Mirror(address) as mirror:
            for path in self.first.folders():
                push(path, mirror)
        add_speakers(folder / "wavs", ["gus"])
        self.second = Store(folder / "second")

    def _label(self, out: Path) -> Facts:
        (out / "train-000000.parquet").write_bytes(b"labels of a tar")
        return build(self.labels, self.first, out)

    def labels_of(self, store: Store) -> Labels:
        return next(item for item in plan(read_resolved(self.recipe, store)) if isinstance(item, Labels))

    def make_second(self) -> Shards:
        (spec,) = corpora_of(read_recipe(self.recipe))
        grow(spec, self.second, stall_seconds=0)
        _, shards = corpus_and_shards(read_resolved(self.recipe, self.second))
        fill_sibling(shards, self.second, self.runtime)
        make_shards(shards, self.second)
        return shards


@pytest.fixture
def site(folder_address: str, tmp_path: Path) -> Site:
    return Site(tmp_path, folder_address)


def count_packed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    packed: list[str] = []
    write = part._write_part
    monkeypatch.setattr(part, "_write_part", lambda tar, *rest: (packed.append(tar.name), write(tar, *rest))[1])
    return packed


def test_only_what_is_new_is_packed_and_the_bytes_are_those_of_one_machine(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = count_packed(monkeypatch)
    shards = site.make_second()
    assert [name for name in packed if "-g002-" not in name] == []
    assert len(packed) == 1
    assert site.second.facts(shards, ShardsFacts).parts_reused == 2
    _, after = grow_both(site.recipe, site.first)
    assert after.key == shards.key
    assert read_record(site.second.path(shards)).files == read_record(site.first.path(after)).files
    assert not list(site.second.path(site.before).glob("*.tar"))  # they went to where they are needed alone


def test_a_part_that_is_damaged_in_the_mirror_is_packed_again(
    site: Site, folder_address: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with Mirror(folder_address) as mirror:
        (victim,) = {item.key for entry in list_entries(mirror, "shards") for item in objects_of(entry, mirror)
                     if item.name.endswith("train-000000.tar")}  # fmt: skip
        mirror.replace(victim, b"other bytes")
    packed = count_packed(monkeypatch)
    shards = site.make_second()
    assert "train-000000.tar" in packed
    assert site.second.facts(shards, ShardsFacts).parts_reused == 1
    assert "a part cannot be taken over: MIRROR_DAMAGED" in caplog.text
    monkeypatch.undo()
    _, after = grow_both(site.recipe, site.first)
    assert read_record(site.second.path(shards)).files == read_record(site.first.path(after)).files


def test_labels_of_the_generation_before_come_whole(site: Site) -> None:
    site.make_second()
    fill_sibling(site.labels_of(site.second), site.second, site.runtime)
    sibling = site.second.path(site.labels)
    assert site.second.is_complete(site.labels)
    names = read_record(sibling).files
    assert any(name.endswith(".parquet") for name in names)
    assert all((sibling / name).read_bytes() == (site.first.path(site.labels) / name).read_bytes() for name in names)


def test_without_a_mirror_or_a_generation_before_nothing_is_fetched(site: Site) -> None:
    fill_sibling(site.before, site.second, site.runtime)  # the first generation
    (spec,) = corpora_of(read_recipe(site.recipe))
    grow(spec, site.second, stall_seconds=0)
    _, shards = corpus_and_shards(read_resolved(site.recipe, site.second))
    fill_sibling(shards, site.second, Runtime())
    assert not list(site.second.root.glob("shards/*"))
