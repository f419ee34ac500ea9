"""Codebooks and label quality by language: what is sampled, and what each language's labels are worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.mini_shards import tones, write_shards
from wavlm.errors import UsageError
from wavlm.features.extract import ExtractionPlan
from wavlm.labels.build import build_labels
from wavlm.labels.codebook import build_codebook
from wavlm.labels.files import read_labels
from wavlm.labels.pools import Pool, read_pools
from wavlm.labels.quality import label_quality
from wavlm.labels.sampling import Drawing, draw_shares, draw_utterances, samples_per_folder
from wavlm.shards import read_index, stream
from wavlm.specs import BalanceSpec, CodebookSpec, Group, MfccFeatures, SamplingSpec

pytestmark = pytest.mark.numeric

LOCAL_PLAN = ExtractionPlan("cpu", processes=1, threads=0, batch_samples=0, chunk_samples=0, groups_per_process=0)
LANGUAGES = ("en", "en", "en", "cs", "")


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("languages")
    mixed = [replace(item, language=LANGUAGES[at % 5]) for at, item in enumerate(tones(30))]
    valid = [replace(item, language="cs") for item in tones(4, seed=2, split="valid")]
    plain = [replace(item, language="en") for item in tones(10, seed=1)]
    return {"a": write_shards(folder / "a", [*mixed, *valid]), "b": write_shards(folder / "b", plain)}


def spec(**fields: object) -> CodebookSpec:
    return CodebookSpec(features=MfccFeatures(type="mfcc"), num_clusters=4, sample_frames_per_cluster=100, **fields)


def draw(shards: dict[str, Path], sampling: SamplingSpec | None, frames: int) -> tuple[Sequence[Pool], Drawing]:
    languages = sampling is not None
    pools = read_pools(list(shards.values()), tuple(shards), "train", 100, languages=languages).pools
    return pools, draw_shares(pools, pools, 100, frames, spec(sampling=sampling))


def test_the_sample_has_the_shares_of_languages(shards: dict[str, Path]) -> None:
    equal = SamplingSpec(languages=BalanceSpec(alpha=0.0))
    _, drawing = draw(shards, equal, 900)
    indexes = [read_index(folder) for folder in shards.values()]
    frames = dict.fromkeys(("en", "cs", "unknown"), 0)
    for folder, row, count in zip(drawing.folders, drawing.rows, drawing.num_frames, strict=True):
        frames[indexes[folder].languages[row] or "unknown"] += count
    assert sum(frames.values()) == 900
    assert all(abs(count - 300) <= 1 for count in frames.values()), frames


def test_without_sampling_the_sample_is_that_of_the_hours(shards: dict[str, Path]) -> None:
    pools, drawing = draw(shards, None, 900)
    expected = draw_utterances(pools, 100, 900, np.array(samples_per_folder(pools), float), spec())
    np.testing.assert_array_equal(drawing.rows, expected.rows)
    np.testing.assert_array_equal(drawing.num_frames, expected.num_frames)


def test_the_facts_say_what_each_language_gave(shards: dict[str, Path], tmp_path: Path) -> None:
    chosen = spec(sampling=SamplingSpec(languages=BalanceSpec(weights={"cs": 0.0})))
    facts = build_codebook(chosen, shards, None, tmp_path, LOCAL_PLAN)
    found = {Group(item.corpus, item.language): item.frames for item in facts.languages}
    assert set(found) == {Group("a", "en"), Group("a", "cs"), Group("a", "unknown"), Group("b", "en")}
    assert found[Group("a", "cs")] == 0
    assert sum(found.values()) == 400 == sum(item.frames for item in facts.shares)
    assert facts.valid is None  # held-out speech is Czech alone, which has the weight 0


def test_unknown_speakers_of_several_languages_of_a_corpus_count_each(tmp_path: Path) -> None:
    said = [replace(item, speaker="unknown", language=LANGUAGES[at % 5]) for at, item in enumerate(tones(15))]
    named = [replace(item, key=f"named-{at}", language=("en", "cs")[at % 2]) for at, item in enumerate(tones(4))]
    shards = {"a": write_shards(tmp_path / "a", [*said, *named])}
    _, drawing = draw(shards, SamplingSpec(languages=BalanceSpec()), 10**6)  # all there is
    assert len(drawing.rows) == 19
    assert drawing.num_speakers == 15 + len({item.speaker for item in named})


def test_a_language_that_is_not_there_is_refused(shards: dict[str, Path], tmp_path: Path) -> None:
    chosen = spec(sampling=SamplingSpec(languages=BalanceSpec(weights={"cz": 2.0})))
    with pytest.raises(UsageError, match="language cz") as caught:
        build_codebook(chosen, shards, None, tmp_path, LOCAL_PLAN)
    assert caught.value.code == "SAMPLING"


def test_quality_is_measured_for_each_language(shards: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "codebook").mkdir()
    build_codebook(spec(), shards, None, tmp_path / "codebook", LOCAL_PLAN)
    facts = build_labels(tmp_path / "codebook", spec().features, shards["a"], None, tmp_path, LOCAL_PLAN)
    pairs: dict[str, list[tuple[object, object]]] = {}
    for shard in sorted(shards["a"].glob("*.tar")):
        labels = read_labels(tmp_path, shard.name).by_key
        for item in stream(shard):
            pairs.setdefault(item.language or "unknown", []).append((item.phones, labels[item.key][::2]))
    assert set(facts.quality_by_language) == {"en", "cs", "unknown"}
    for language, quality in facts.quality_by_language.items():
        expected = label_quality(pairs[language], 4)  # type: ignore[arg-type]
        assert quality.model_dump() == pytest.approx(expected.model_dump())
    assert facts.quality is not None
    assert sum(item.num_frames for item in facts.quality_by_language.values()) == facts.quality.num_frames


def test_where_no_language_is_known_there_is_one_quality(tmp_path: Path) -> None:
    shards = {"c": write_shards(tmp_path / "c", tones(6))}
    (tmp_path / "codebook").mkdir()
    build_codebook(spec(), shards, None, tmp_path / "codebook", LOCAL_PLAN)
    facts = build_labels(tmp_path / "codebook", spec().features, shards["c"], None, tmp_path, LOCAL_PLAN)
    assert facts.quality is not None
    assert facts.quality_by_language == {}
