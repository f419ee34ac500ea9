"""Kind W: `plan --cost` uses what the store knows, and says what it does not know.

People reported: of a folder of their own it said 0 h, 0 GB and 0 GPU hours, although the store knew its hours.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.cli.plan import cost_table
from tests.field.recipes import HIDDEN, MFCC, ROOT, write_recipe
from wavlm.corpus.facts import Amount, CorpusFacts
from wavlm.pipeline.amounts import Sum, download_bytes, left_to_download
from wavlm.pipeline.artifacts import Corpus, Shards
from wavlm.pipeline.cost import cost
from wavlm.pipeline.gpus import GPUS
from wavlm.pipeline.plan import plan
from wavlm.pipeline.resolve import read_folders
from wavlm.pipeline.store import Store
from wavlm.shards.facts import ShardsFacts
from wavlm.specs import ShardSpec
from wavlm.specs.yaml import read_corpus, read_recipe
from wavlm.storage.facts import Facts

CORPUS_HOURS, SHARDS_HOURS, SHARDS_BYTES = 10.0, 8.0, 600_000_000


def corpus_facts() -> CorpusFacts:
    numbers = dict.fromkeys(
        ("speakers", "without_header", "with_text", "with_phones", "valid_utterances", "duplicate_contents"), 0
    )
    amounts = {name: Amount() for name in ("found", "train", "valid")}
    return CorpusFacts.model_validate(
        {
            **numbers,
            **amounts,
            "role": "speech",
            "utterances": 1,
            "hours": CORPUS_HOURS,
            "split_rule": "none",
            "split_below": 0.0,
            "valid_hours": 0.0,
            "excluded": {},
            "archives": (),
        }
    )


def shards_facts() -> ShardsFacts:
    zeros = dict.fromkeys(("recordings", "recordings_used", "speakers", "repeated_recordings", "in_both_splits"), 0)
    return ShardsFacts.model_validate(
        {
            **zeros,
            "excluded": {},
            "rejected": {},
            "utterances": 1,
            "hours": SHARDS_HOURS,
            "valid_hours": 0.0,
            "shards": 1,
            "bytes": SHARDS_BYTES,
        }
    )


def seal(store: Store, artifact: Corpus | Shards, facts: Facts) -> None:
    store.make(artifact, lambda _: facts)


def test_what_is_not_known_is_a_question_mark_and_not_zero(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, iterations=(MFCC, HIDDEN))
    found = cost(read_recipe(recipe), Store(tmp_path / "store"))
    assert found.hours.show() == "?"
    assert found.unknown_hours == ("mine",)
    assert found.epochs == (None, None)
    by_stage = {(item.iteration, item.stage): item for item in found.stages}
    assert by_stage[0, "shards"].disk_gigabytes.show() == "?"
    assert by_stage[2, "labels"].petaflops.show() == "?"
    assert by_stage[1, "pretrain"].petaflops.unknown == 0  # follows from the recipe alone
    assert found.disk_gigabytes.show().startswith("at least ")
    table = cost_table(recipe, Store(tmp_path / "store"))
    assert "? h of speech (unknown: mine)" in str(table.caption)
    assert "? epochs" in str(table.caption)


def test_the_store_knows_the_hours_of_a_corpus_and_better_those_of_its_shards(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    recipe = read_folders(read_recipe(write_recipe(tmp_path)), store)
    artifacts = plan(recipe)
    (corpus,) = (item for item in artifacts if isinstance(item, Corpus))
    (shards,) = (item for item in artifacts if isinstance(item, Shards))

    seal(store, corpus, corpus_facts())
    found = cost(recipe, store)
    assert found.hours == Sum(CORPUS_HOURS)
    assert found.epochs == (pytest.approx(10 * 24.0 / (CORPUS_HOURS * 3600)),)

    seal(store, shards, shards_facts())
    found = cost(recipe, store)
    assert found.hours == Sum(SHARDS_HOURS)
    by_stage = {item.stage: item for item in found.stages}
    assert by_stage["shards"].disk_gigabytes.known == pytest.approx(0.6)
    assert by_stage["shards"].left_gigabytes == Sum()
    # 100 labels a second in 2 x 56 bytes: docstring of wavlm.pipeline.cost.
    assert by_stage["labels"].left_gigabytes.known == pytest.approx(SHARDS_HOURS * 3600 * 112 / 1e9)


def test_the_store_goes_before_what_the_spec_expects(tmp_path: Path) -> None:
    path = write_recipe(tmp_path, ("valid_fraction: 0.1", "valid_fraction: 0.1\nexpected_hours: 99"))
    store = Store(tmp_path / "store")
    recipe = read_folders(read_recipe(path), store)
    assert cost(recipe, store).hours == Sum(99)
    (corpus,) = (item for item in plan(recipe) if isinstance(item, Corpus))
    seal(store, corpus, corpus_facts())
    assert cost(recipe, store).hours == Sum(CORPUS_HOURS)


def test_only_what_is_left_counts_for_the_disk(tmp_path: Path) -> None:
    recipe = read_recipe(ROOT / "data_specs" / "recipes" / "mini-librispeech.yaml")
    store = Store(tmp_path / "store")
    whole = cost(recipe, store)
    assert whole.left_gigabytes == whole.peak_gigabytes
    sources = [source for spec in (*recipe.speech, *recipe.noise) for source in spec.sources]
    store.downloads.mkdir(parents=True)
    (store.downloads / sources[0].file_name).touch()  # type: ignore[union-attr]
    part = cost(recipe, store)
    assert part.disk_gigabytes == whole.disk_gigabytes
    assert part.left_gigabytes.known == pytest.approx(whole.left_gigabytes.known - sources[0].size_bytes / 1e9)  # type: ignore[union-attr, operator]


def test_the_size_of_all_archives_counts_where_that_of_each_is_not_known_and_files_count_as_they_are(
    tmp_path: Path,
) -> None:
    voxpopuli = read_corpus(ROOT / "data_specs/corpora/voxpopuli-en.yaml")
    assert download_bytes(voxpopuli) == Sum(385e9)
    assert download_bytes(voxpopuli.model_copy(update={"published_gigabytes": 0.0})) == Sum(0.0, 25)
    shards, store = Shards(ShardSpec(min_seconds=1.0, max_seconds=2.0), Corpus(voxpopuli)), Store(tmp_path)
    assert left_to_download(shards, store) == Sum(385e9)
    store.downloads.mkdir()
    (store.downloads / voxpopuli.unpinned[0].file_name).write_bytes(bytes(1000))
    assert left_to_download(shards, store) == Sum(385e9 - 1000)


def test_a_corpus_of_which_nobody_knows_the_size_is_named_beside_the_hours_of_downloads(tmp_path: Path) -> None:
    source = "{type: https, urls: ['https://example.org/{1..3}.tar'], digest_from: first-download, format: tar}"
    folder = f'{{type: folder, path: "{tmp_path / "speech"}", revision: "1"}}'
    path = write_recipe(tmp_path, (folder, source))
    caption = str(cost_table(path, Store(tmp_path / "store"), 100.0).caption)
    assert "To download at 100 Mbit/s: ? GB, ? h (size unknown: mine)." in caption


def test_a_table_says_what_it_does_not_know_where_its_rates_come_from_and_how_long_a_download_takes(
    tmp_path: Path,
) -> None:
    table = cost_table(ROOT / "data_specs" / "recipes" / "wavlm-large.yaml", Store(tmp_path), 400.0, gpus=8, nodes=4)
    caption = str(table.caption)
    found = cost(read_recipe(ROOT / "data_specs" / "recipes" / "wavlm-large.yaml"))
    size = found.download_gigabytes.known
    assert f"To download at 400 Mbit/s: {size:,.1f} GB, {size * 8 / 0.4 / 3600:,.1f} h." in caption
    assert "rates of a core of an Intel Xeon with AMX, 2026-11-30" in caption
    assert "V100 does not have bf16: give `precision: fp16`" in caption
    (a100,) = (gpu for gpu in GPUS if gpu.name == "A100")
    days = found.gpu_hours(a100)
    assert days is not None
    assert f"On 4 nodes of 8 GPUs, without loss between them: A100 {days.known / 24 / 32:.1f} days" in caption
    cells = {cell for column in table.columns for cell in column.cells}
    assert {"no bf16", "codebook"} <= cells
    assert any(str(cell).startswith("at least ") for cell in table.columns[3].cells) == bool(found.unknown_hours)


def test_the_speech_of_the_94_thousand_hours_adds_up_to_what_the_readme_says() -> None:
    recipe = read_recipe(ROOT / "data_specs" / "recipes" / "wavlm-large.yaml")
    used = [spec.expected_hours for spec in recipe.speech if spec.name in recipe.iterations[2].speech]
    assert sum(used) == pytest.approx(91_804, abs=50)


@pytest.mark.parametrize(
    ("name", "hours", "gigabytes"), [("small", 577, 35), ("medium", 5193, 321), ("large", 51934, 3050)]
)
def test_libri_light_has_the_sizes_that_its_publisher_gives(name: str, hours: int, gigabytes: int) -> None:
    """github.com/facebookresearch/libri-light, data_preparation/README.md."""
    recipe = read_recipe(ROOT / "data_specs" / "recipes" / "wavlm-large.yaml")
    (spec,) = (item for item in recipe.speech if item.name == f"libri-light-{name}")
    assert spec.expected_hours == hours
    (shards,) = (item for item in plan(recipe) if isinstance(item, Shards) and item.corpus.name == spec.name)
    found = cost(recipe.model_copy(update={"speech": (spec,), "iterations": (), "noise": (), "rooms": ()}))
    assert found.hours == Sum(hours)
    assert found.download_gigabytes.known == pytest.approx(gigabytes)
    assert shards.corpus.spec == spec
