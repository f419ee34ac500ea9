"""The account of a shards folder: in = used + excluded + refused, for recordings and for samples, whatever comes in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.shards.corpora import Clip, encode_audio, write_corpus
from wavlm.corpus.audio.reason import AudioError, Reason
from wavlm.corpus.regions import Passage
from wavlm.execution.progress import no_progress
from wavlm.shards import ShardsFacts, build_shards, read_index
from wavlm.shards.account import Account, Ledger, Taken, add_up
from wavlm.shards.recordings import Intake
from wavlm.shards.rejects import read_rejects
from wavlm.shards.utterance import Piece, Utterance
from wavlm.shards.waveform import Channels, Ending
from wavlm.specs import ShardSpec


@dataclass(frozen=True)
class Made:
    """A clip, and how many samples at 16 kHz a channel of it must give; -1 if it cannot be decoded to its end."""

    clip: Clip
    samples: int
    num_channels: int


def make_clip(rng: np.random.Generator, number: int) -> Made:
    """A recording of random length, rate and channels; some are silent in part or damaged."""
    rate_hz = int(rng.choice([8000, 16000, 22050, 48000]))
    num_channels = int(rng.choice([1, 1, 2, 3]))
    num_samples = int(rng.integers(rate_hz // 20, 9 * rate_hz))
    waveform = rng.uniform(-0.3, 0.3, (num_samples, num_channels))
    if rng.random() < 0.4:  # a stretch of silence, in all channels or in one
        start, stop = np.sort(rng.integers(0, num_samples + 1, 2))
        waveform[start:stop, slice(None) if rng.random() < 0.5 else 0] = 0.0
    blob = encode_audio(waveform, rate_hz)
    is_damaged = rng.random() < 0.15
    if is_damaged:
        blob = blob[: len(blob) // 2]
    samples = int(np.floor(num_samples * 16000 / rate_hz + 0.5))
    speaker = str(rng.choice(["anna", "ben", "unknown"]))
    return Made(Clip(f"k{number:02d}", blob, speaker=speaker), -1 if is_damaged else samples, num_channels)


CHOICES: list[Channels] = ["mean", "each", "first", 2]


@pytest.mark.parametrize("seed", range(8))
def test_recordings_and_samples_balance_for_random_corpora(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    channels = CHOICES[seed % 4]
    made = [make_clip(rng, number) for number in range(12)]
    spec = ShardSpec(
        min_seconds=float(rng.choice([0.3, 1.0])),
        max_seconds=float(rng.choice([2.0, 4.0])),
        join_seconds=float(rng.choice([0.0, 2.0])),
        shard_megabytes=0.2,
        max_rejected=1.0,
    )
    corpus, out = write_corpus(tmp_path / "corpus", [item.clip for item in made]), tmp_path / "out"
    facts = build_shards(spec, corpus, out, 1, no_progress, Intake(channels, stall_seconds=0))
    taken = sum(item.samples * (item.num_channels if channels == "each" else 1) for item in made if item.samples >= 0)
    assert facts.samples == taken
    assert facts.samples == facts.samples_used + facts.samples_excluded + facts.samples_refused
    assert facts.unmeasured == sum(item.samples < 0 for item in made)
    assert facts.recordings == 12
    assert facts.recordings_used + sum(facts.excluded.values()) + sum(facts.rejected.values()) == 12
    assert int(read_index(out).samples.sum()) == facts.samples_used + facts.gap_samples
    assert facts.hours == pytest.approx((facts.samples_used + facts.gap_samples) / 16000 / 3600, abs=1e-6)
    assert facts.train_hours + facts.valid_hours == pytest.approx(facts.hours, abs=1e-6)
    left_out = sum(max(0, reject.samples) for reject in read_rejects(out))
    assert left_out == facts.samples_excluded + facts.samples_refused


TAKEN = Taken(Ending(samples=100, num_channels=1, taken=(0,), clipped=0, notes=()), Passage(0, 100), (0,))


def utterance(start: int, samples: int) -> Utterance:
    piece = Piece("a", offset=0, start=start, samples=samples)
    return Utterance("a-p000", "anna", "train", np.zeros(samples, np.float32), None, None, (piece,))


@pytest.mark.parametrize(
    "pieces",
    [[], [(0, 50)], [(50, 50)], [(0, 60), (40, 60)], [(0, 100), (0, 100)], [(0, 50), (60, 40)], [(0, 101)]],
    ids=str,
)
def test_a_sample_in_no_piece_or_in_two_is_an_error(pieces: list[tuple[int, int]]) -> None:
    ledger = Ledger()
    ledger.admit("a", TAKEN)
    for start, samples in pieces:
        ledger.use(utterance(start, samples))
    with pytest.raises(RuntimeError, match="pieces of channel 0 of a"):
        ledger.close()


def test_an_account_that_does_not_balance_is_an_error() -> None:
    good = Account(samples=10, samples_used=7, samples_refused=3, notes={"X": 1}, channels={"2": 3})
    total = add_up([good, good])
    assert (total.samples, dict(total.notes), dict(total.channels)) == (20, {"X": 2}, {"2": 6})
    with pytest.raises(RuntimeError, match="do not add up"):
        add_up([good, Account(samples=1)])
    with pytest.raises(ValueError, match="do not add up"):
        ShardsFacts.model_validate({**GOOD_FACTS, "samples": 5})
    with pytest.raises(ValueError, match="4 recordings, 3 used, 0 left out"):
        ShardsFacts.model_validate({**GOOD_FACTS, "recordings": 4})


GOOD_FACTS = {
    **dict.fromkeys(("recordings", "recordings_used", "utterances"), 3),
    **dict.fromkeys(("speakers", "shards", "bytes", "repeated_recordings", "in_both_splits"), 0),
    "excluded": {},
    "rejected": {},
    **dict.fromkeys(("hours", "valid_hours"), 0.0),
}


def test_the_first_reason_of_a_recording_without_a_used_piece_is_its_reason() -> None:
    ledger = Ledger()
    ledger.admit("a", TAKEN)
    for start, reason in ((0, Reason.AUDIO_CANCELS), (50, Reason.AUDIO_SILENT)):
        ledger.lose(f"a-p{start}", Piece("a", 0, start, 50), AudioError(reason, "words \udce9"))
    (reject,), account = ledger.close()
    assert (reject.reason, reject.detail, reject.piece, reject.samples) == ("AUDIO_CANCELS", r"words \udce9", "", 100)
    assert (account.samples, account.samples_refused, account.unmeasured) == (100, 100, 0)
