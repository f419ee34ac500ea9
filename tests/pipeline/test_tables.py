"""The tables of a run: the account of each corpus adds up, line by line, and nothing that was lost is left unsaid."""

from __future__ import annotations

from wavlm.corpus.facts import Amount, CorpusFacts
from wavlm.pipeline.summary import CorpusSummary, Summary
from wavlm.pipeline.tables import Row, tables
from wavlm.shards.facts import ShardsFacts

SHARDS = ShardsFacts(
    recordings=10,
    recordings_used=6,
    excluded={"TOO_SHORT": 1},
    rejected={"AUDIO_SILENT": 2, "DECODER_STALLED": 1},
    rejected_pieces={"AUDIO_SILENT": 4},
    samples=1_000_001,
    samples_used=800_000,
    samples_excluded=1,
    samples_refused=200_000,
    unmeasured=1,
    gap_samples=1600,
    clipped_samples=7,
    notes={"LENGTH_RECOVERED": 2},
    channels={"1": 4, "2": 2},
    utterances=20,
    speakers=3,
    hours=2.5,
    valid_hours=0.5,
    shards=1,
    bytes=1,
    repeated_recordings=0,
    in_both_splits=0,
)
FOUND = CorpusFacts(
    role="speech",
    utterances=10,
    speakers=3,
    hours=2.5,
    without_header=0,
    with_text=0,
    with_phones=0,
    split_rule="none",
    split_below=0.0,
    valid_utterances=2,
    valid_hours=0.5,
    found=Amount(recordings=12, microseconds=12_000_000),
    train=Amount(recordings=8, microseconds=8_000_000),
    valid=Amount(recordings=2, microseconds=2_000_000),
    excluded={"COPY_OF_VALID": Amount(recordings=2, microseconds=2_000_000)},
    duplicate_contents=0,
    archives=(),
)


def tables_of(found: CorpusFacts | None) -> dict[str, list[Row]]:
    corpus = CorpusSummary("voice", "speech", SHARDS, found)
    empty: dict[str, tuple[str, ...]] = dict.fromkeys(
        ("results", "mixtures", "versions", "plots", "listen", "findings", "advice", "missing"), ()
    )
    return dict(tables(Summary(corpora=(corpus,), **empty)))  # type: ignore[arg-type]


def test_each_line_of_the_account_adds_up() -> None:
    rows = {row["unit"]: row for row in tables_of(FOUND)["account"]}
    assert [*rows] == ["recordings found", "hours by their headers", "recordings packed", "samples at 16 kHz", "hours"]
    for unit in ("recordings found", "recordings packed", "samples at 16 kHz"):
        came, *went = (int(rows[unit][column]) for column in ("in", "used", "excluded", "refused"))
        assert came == sum(went), unit
    assert rows["recordings packed"]["in"] == "10"
    assert rows["samples at 16 kHz"]["used"] == "800000"
    assert rows["hours"]["in"] == f"{1_000_001 / 16000 / 3600:.4f}"


def test_what_was_lost_or_changed_is_said() -> None:
    (packed,) = (row["remarks"] for row in tables_of(FOUND)["account"] if row["unit"] == "hours")
    for said in (
        "excluded: 1 TOO_SHORT",
        "pieces of used recordings: 4 AUDIO_SILENT",
        "1 refused recordings cannot be decoded to their end",
        "7 samples clipped",
        "2 LENGTH_RECOVERED",
        "4 of 1 channels, 2 of 2 channels",
        "1600 samples of silence between joined recordings",
    ):
        assert said in packed
    assert any("2 COPY_OF_VALID" in row.get("remarks", "") for row in tables_of(FOUND)["account"])


def test_hours_of_train_and_valid_stand_apart_and_a_lost_corpus_folder_hides_only_its_lines() -> None:
    (corpus,) = tables_of(None)["corpora"]
    assert (corpus["hours of train"], corpus["hours of valid"]) == ("2.00", "0.50")
    assert corpus["rejected"] == "2 AUDIO_SILENT, 1 DECODER_STALLED"
    assert [row["unit"] for row in tables_of(None)["account"]] == ["recordings packed", "samples at 16 kHz", "hours"]
