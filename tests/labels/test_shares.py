"""The sample of a codebook has the proportions of the hours, whatever a corpus calls a speaker.

People reported: of the codebooks for 94,000 hours 98 % were fitted on VoxPopuli, where every segment was a speaker.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.labels.pools import ListedPool
from tests.mini_shards import tones, write_shards
from wavlm.features.extract import ExtractionPlan
from wavlm.labels.codebook import build_codebook
from wavlm.labels.sampling import Drawing, draw_utterances
from wavlm.labels.turns import Turns
from wavlm.rng import rng_for
from wavlm.specs import CodebookSpec, Group, HiddenFeatures, MfccFeatures

SPECS = Path(__file__).parents[2] / "data_specs"
LOCAL_PLAN = ExtractionPlan("cpu", processes=1, threads=0, batch_samples=0, chunk_samples=0, groups_per_process=0)
# The 94,000 hours in hundredths: name, hours, speakers. In VoxPopuli each segment of 30 s was a speaker.
PAPER = (("libri-light", 577.0, 73), ("gigaspeech", 100.0, 380), ("voxpopuli", 241.0, 28_920))
PIECE_SAMPLES = 30 * 16000


def corpora_of_pieces(corpora: tuple[tuple[str, float, int], ...]) -> list[ListedPool]:
    """Pieces of 30 s, whose speakers speak equally much."""
    pools = []
    for number, (name, hours, num_speakers) in enumerate(corpora):
        count = round(hours * 120)
        speakers = np.arange(count) % num_speakers
        pools.append(ListedPool(Group(name, "unknown"), number, speakers, np.full(count, PIECE_SAMPLES), 50))
    return pools


def spec(**fields: object) -> CodebookSpec:
    return CodebookSpec.model_validate(
        {"features": HiddenFeatures(type="hidden", layer=9), "num_clusters": 500, **fields}
    )


def shares(drawing: Drawing) -> list[float]:
    counts = np.bincount(drawing.folders, weights=drawing.num_frames)
    return (counts / counts.sum()).tolist()


def hours_of(pools: list[ListedPool]) -> np.ndarray:
    return np.array([pool.num_samples for pool in pools], float)


def test_speakers_in_turn_over_all_corpora_would_give_nearly_all_to_the_one_with_many_names() -> None:
    """What the sample was before shares: 333 whole utterances, in turn over all speakers."""
    pools = corpora_of_pieces(PAPER)
    folders = np.repeat(np.arange(3), [len(pool.speakers) for pool in pools])
    speakers = np.concatenate([100_000 * pool.folder + pool.speakers for pool in pools]).astype(np.int32)
    assert np.mean(folders[Turns(speakers, rng_for(0)).first(333)] == 2) > 0.97


@pytest.mark.parametrize("voxpopuli_speakers", [28_920, 60])
def test_each_corpus_has_the_share_of_its_hours_whatever_it_calls_a_speaker(voxpopuli_speakers: int) -> None:
    pools = corpora_of_pieces((*PAPER[:2], ("voxpopuli", 241.0, voxpopuli_speakers)))
    drawing = draw_utterances(pools, 50, 500_000, hours_of(pools), spec())
    assert shares(drawing) == pytest.approx([0.6285, 0.1089, 0.2625], abs=1e-4)
    assert drawing.num_frames.sum() == 500_000
    assert drawing.num_frames.max() == 80
    assert len(drawing.rows) == pytest.approx(500_000 / 80, abs=3)


def test_given_shares_are_kept_where_there_is_speech_enough() -> None:
    drawing = draw_utterances(corpora_of_pieces(PAPER), 50, 500_000, np.array([1.0, 1.0, 2.0]), spec())
    assert shares(drawing) == pytest.approx([0.25, 0.25, 0.5])


def test_within_a_corpus_speakers_give_equally_many_utterances() -> None:
    pools = corpora_of_pieces(PAPER)
    drawing = draw_utterances(pools, 50, 500_000, hours_of(pools), spec())
    counts = np.bincount(drawing.speakers[drawing.folders == 0])
    assert len(counts) == 73
    assert counts.max() - counts.min() <= 1


def test_the_facts_say_what_each_corpus_gave_in_train_and_valid_alike(tmp_path: Path) -> None:
    large = write_shards(tmp_path / "large", tones(12) + tones(4, seed=2, split="valid"))
    small = write_shards(tmp_path / "small", tones(4, seed=1) + tones(2, seed=3, split="valid"))
    fields = {"num_clusters": 4, "sample_frames_per_cluster": 50, "frames_per_utterance": 10, "iterations": 2}
    codebook = CodebookSpec.model_validate({"features": MfccFeatures(type="mfcc"), **fields})
    facts = build_codebook(codebook, {"large": large, "small": small}, None, tmp_path, LOCAL_PLAN)
    first, second = facts.shares
    assert (first.corpus, second.corpus) == ("large", "small")
    assert first.frames + second.frames == 200
    assert first.frames / 200 == pytest.approx(first.hours / (first.hours + second.hours), abs=0.005)
    assert (first.utterances, first.speakers, second.utterances, second.speakers) == (12, 3, 4, 3)
    assert facts.valid.num_frames == 20


def test_even_shares_are_even(tmp_path: Path) -> None:
    large, small = (write_shards(tmp_path / str(count), tones(count, seed=count)) for count in (12, 4))
    fields = {"sample_frames_per_cluster": 40, "iterations": 2, "speech": ("large", "small"), "shares": (1.0, 1.0)}
    codebook = spec(features=MfccFeatures(type="mfcc"), num_clusters=4, **fields)
    facts = build_codebook(codebook, {"large": large, "small": small}, None, tmp_path, LOCAL_PLAN)
    assert [item.frames for item in facts.shares] == [80, 80]


def test_shares_belong_to_named_corpora() -> None:
    with pytest.raises(ValueError, match="found 1 shares, expected 0"):
        spec(shares=(1.0,))
    with pytest.raises(ValueError, match="speech names ab twice"):
        spec(speech=("ab", "ab"))
