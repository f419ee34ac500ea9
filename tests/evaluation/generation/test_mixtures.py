"""What is mixed has the level that was drawn, is the sum of its references, and stays within its set."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.generation.recordings import corpus_of, noises, speech
from tests.mini_shards import Spoken
from wavlm.errors import BadDataError
from wavlm.evaluation.examples import Example, Take
from wavlm.evaluation.labelled import LabelledCorpus
from wavlm.evaluation.splits import Split
from wavlm.evaluation.tasks.masking import Masking
from wavlm.evaluation.tasks.mixtures import Mixed
from wavlm.evaluation.tasks.referenced import Referenced
from wavlm.shards import Reader
from wavlm.specs.generation import NoiseMixSpec, SpeechEnhancement, SpeechSeparation, VoiceMixSpec
from wavlm.specs.heads import MaskHead

HEAD = MaskHead(type="mask", hidden=8, layers=1)
ENHANCE = Masking(SpeechEnhancement(type="se", mix=NoiseMixSpec()), HEAD)
SEPARATE = Masking(SpeechSeparation(type="ss", mix=VoiceMixSpec()), HEAD)


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> LabelledCorpus:
    return corpus_of(tmp_path_factory.mktemp("made") / "spoken", speech(0.6))


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> LabelledCorpus:
    return corpus_of(tmp_path_factory.mktemp("made") / "noise", noises(5, 0.25), number=1)


def split_of(task: Masking, spoken: LabelledCorpus, noise: LabelledCorpus | None = None) -> Split:
    """The first six recordings, the next three, and the last three, mixed."""
    others = [noise] if noise else []
    items = task.collect([spoken], others)
    return task.mix(Split("", tuple(items[:6]), tuple(items[6:9]), tuple(items[9:])), others)


def other_of(item: Example) -> str:
    """What was mixed in."""
    assert isinstance(item.target, dict)
    return str(item.target["with"])


def every(split: Split) -> list[Referenced]:
    found = [*split.train, *split.dev, *split.test]
    assert all(isinstance(item, Referenced) for item in found)
    return found  # type: ignore[return-value]


@pytest.mark.parametrize("task", [ENHANCE, SEPARATE])
def test_a_mixture_is_the_sum_of_its_parts_at_the_level_that_its_target_says(
    task: Masking, spoken: LabelledCorpus, noise: LabelledCorpus
) -> None:
    readers = [Reader(spoken.shards_dir), Reader(noise.shards_dir)]
    for item in every(split_of(task, spoken, noise)):
        mixture = item.audio.load(readers).astype(np.float64)
        known = [one.load(readers).astype(np.float64) for one in item.references]
        first, second = known[0], mixture - known[0]
        assert len(mixture) == len(first) == item.num_samples
        ratio = 10 * np.log10((first**2).sum() / (second**2).sum())
        assert isinstance(item.target, dict)
        assert ratio == pytest.approx(item.target["ratio_db"], abs=0.01)
        if len(known) == 2:
            assert second == pytest.approx(known[1], abs=1e-6)
        assert np.abs(mixture).max() <= 0.991


def test_noise_that_is_short_begins_again_and_a_loud_mixture_is_scaled_with_its_references(tmp_path: Path) -> None:
    tone = 0.9 * np.sin(np.arange(4000) / 3).astype(np.float32)
    ramp = np.linspace(0.1, 0.9, 1000, dtype=np.float32)
    corpus = corpus_of(tmp_path / "both", [Spoken("a", "s", tone), Spoken("b", "t", ramp)])
    mixed = Mixed(Take(0, 0), Take(0, 1), 4000, 300, 0.0)
    first, second = mixed.load_parts([Reader(corpus.shards_dir)])
    assert np.abs(first + second).max() == pytest.approx(0.99, abs=1e-5)
    assert second[:1000] == pytest.approx(second[1000:2000])
    assert second[700] == second.min()  # the beginning of the ramp
    assert np.corrcoef(first, tone)[0, 1] == pytest.approx(1)


def test_no_noise_of_one_set_is_in_another(spoken: LabelledCorpus, noise: LabelledCorpus) -> None:
    split = split_of(ENHANCE, spoken, noise)
    used = [{other_of(item) for item in part} for part in (split.train, split.dev, split.test)]
    assert len(used[1]) == len(used[2]) == 1
    assert not used[0] & used[1]
    assert not used[0] & used[2]
    assert not used[1] & used[2]


def test_voices_are_mixed_with_others_of_their_set(spoken: LabelledCorpus) -> None:
    speakers = {f"{spoken.name}/{row.key}": row.speaker for row in spoken.rows}
    split = split_of(SEPARATE, spoken)
    for part in (split.train, split.dev, split.test):
        firsts = {item.target["clean"] for item in part}  # type: ignore[index,call-overload]
        for item in part:
            assert isinstance(item, Referenced)
            assert other_of(item) in firsts
            assert speakers[other_of(item)] != item.speaker


def test_the_same_recordings_give_the_same_mixtures_whatever_else_is_there(
    spoken: LabelledCorpus, noise: LabelledCorpus
) -> None:
    first, second = split_of(ENHANCE, spoken, noise), split_of(ENHANCE, spoken, noise)
    assert [repr(item.audio) for item in every(first)] == [repr(item.audio) for item in every(second)]
    items = ENHANCE.collect([spoken], [noise])
    fewer = ENHANCE.mix(Split("", tuple(items[1:6]), tuple(items[6:9]), tuple(items[9:])), [noise])
    assert [item.key for item in every(fewer)] == [item.key for item in every(first)][1:]
    other = Masking(SpeechEnhancement(type="se", mix=NoiseMixSpec(seed=1)), HEAD)
    assert [item.key for item in every(split_of(other, spoken, noise))] != [item.key for item in every(first)]


def test_what_cannot_be_mixed_is_refused_with_its_numbers(tmp_path: Path, spoken: LabelledCorpus) -> None:
    few = corpus_of(tmp_path / "few", noises(2, 0.25), number=1)
    with pytest.raises(BadDataError, match="SPLIT_EMPTY: found 2 noise recordings, expected 3"):
        split_of(ENHANCE, spoken, few)
    items = SEPARATE.collect([spoken], [])
    alone = tuple(replace(item, speaker="one") for item in items[:3])
    with pytest.raises(BadDataError, match="SPLIT_EMPTY: the dev set has 1 speaker, expected two"):
        SEPARATE.mix(Split("", tuple(items), alone, tuple(items)), [])
    unknown = corpus_of(tmp_path / "unknown", [replace(it, speaker="") for it in speech(0.3, 2)])
    with pytest.raises(BadDataError, match="TARGET_MISSING: the speaker of 2 recordings is not known"):
        SEPARATE.collect([unknown], [])


def test_a_silent_recording_has_no_level(tmp_path: Path) -> None:
    silent = Spoken("b", "t", np.zeros(4000, np.float32))
    corpus = corpus_of(tmp_path / "both", [Spoken("a", "s", speech(0.3, 1)[0].waveform), silent])
    with pytest.raises(BadDataError, match="TARGET_BAD: the second recording of a mixture is silent"):
        Mixed(Take(0, 0), Take(0, 1), 4000, 0, 0.0).load([Reader(corpus.shards_dir)])


def test_published_mixtures_name_their_references(tmp_path: Path) -> None:
    (a, b), task = speech(0.4, 2), Masking(SpeechEnhancement(type="se"), HEAD)
    corpus = corpus_of(tmp_path / "pairs", [a, b], targets={b.key: {"clean": a.key}})
    (found,) = task.collect([corpus], [])
    assert isinstance(found, Referenced)
    assert found.key == f"pairs/{b.key}"
    assert found.references[0].load([Reader(corpus.shards_dir)]) == pytest.approx(a.waveform, abs=2**-15)


@pytest.mark.parametrize(
    ("spec", "targets", "message"),
    [
        ("se", {}, "TARGET_MISSING: 2 recordings have no clean and are named by none"),
        ("se", {"long": {"clean": "short"}}, "TARGET_BAD: long has 6400 samples, short has 3200"),
        ("se", {"long": {"clean": "gone"}, "short": {"clean": "short"}}, "TARGET_MISSING: the recording gone, which"),
        ("ss", {"long": {"sources": ["short"]}}, "TARGET_BAD: long has 1 sources, expected 2"),
    ],
)
def test_a_mixture_without_its_references_is_refused(
    tmp_path: Path, spec: str, targets: dict[str, dict[str, object]], message: str
) -> None:
    (a, b) = speech(0.4, 2)
    spoken = [Spoken("long", "s", a.waveform), Spoken("short", "t", b.waveform[:3200])]
    task = Masking(SpeechEnhancement(type="se") if spec == "se" else SpeechSeparation(type="ss"), HEAD)
    with pytest.raises(BadDataError, match=message):
        task.collect([corpus_of(tmp_path / "pairs", spoken, targets=targets)], [])
