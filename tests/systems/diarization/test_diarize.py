"""Trained systems by their folder: the call, the command, what is tuned, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

import wavlm
from flows.cli.main import app
from tests.systems.diarization.made import SMALL, end_to_end, superb_diarizer, verifier, write_system, write_talk
from wavlm.corpus.layouts.rttm import read_rttm_file
from wavlm.corpus.layouts.rttm_lines import to_rttm
from wavlm.errors import BadDataError, UsageError
from wavlm.evaluation.metrics.diarization import ScoredRecording, diarization_errors, score_by_speakers
from wavlm.systems.diarization.backend import read_backend
from wavlm.systems.diarization.diarize import Choice, open_diarizer
from wavlm.systems.diarization.fit import fit_folder

ORDER = [0, 1, 0, 2, 1, 2, 0]


def rate(turns: list[tuple[float, float, str]], found: list[tuple[float, float, str]], end_s: float) -> float:
    return diarization_errors(turns, found, [(0.0, end_s)], collar_each_side_s=0.25).rate


def test_a_file_and_its_samples_have_the_same_turns(tmp_path: Path) -> None:
    system = verifier(tmp_path / "asv")
    write_talk(tmp_path / "talk.wav", [0, 1])
    found = wavlm.diarize(tmp_path / "talk.wav", system, Choice(speakers=2))
    assert len({name for *_, name in found}) == 2
    samples, _ = soundfile.read(tmp_path / "talk.wav", dtype="float32")
    assert wavlm.diarize(samples, open_diarizer(system, Choice(speakers=2))) == found


def as_simulated(folder: Path, corpus: Path) -> Path:
    """The same conversations as `wavlm simulate` leaves them: one RTTM of the part, beside its folder."""
    part = corpus / "dev"
    part.mkdir(parents=True)
    for path in folder.glob("*.wav"):
        (part / path.name).write_bytes(path.read_bytes())
    (corpus / "dev.rttm").write_text("".join(path.read_text() for path in sorted(folder.glob("*.rttm"))))
    (corpus / "test.rttm").write_text("SPEAKER other 1 0.0 1.0 <NA> <NA> who <NA> <NA>\n")  # of no part that is read
    return part


@pytest.mark.full
def test_a_fitted_back_end_is_kept_with_the_system_and_tells_voices_apart(tmp_path: Path) -> None:
    """One speaker always would confuse four of seven turns, 57 %."""
    system = verifier(tmp_path / "asv")
    for number, order in enumerate(([2, 0, 1, 0], [1, 2, 1, 0], [0, 2], [1, 0, 2, 2])):
        path = tmp_path / "dev" / f"talk{number}.wav"
        path.parent.mkdir(exist_ok=True)
        (path.with_suffix(".rttm")).write_text(to_rttm(path.stem, write_talk(path, order)))
    result = CliRunner().invoke(app, ["diarize-fit", str(tmp_path / "dev"), "--system", str(system)])
    assert result.exit_code == 0, result.output
    backend = read_backend(system)
    assert backend.plda is not None
    assert backend.plda.projection.shape[1] <= 2
    assert fit_folder(as_simulated(tmp_path / "dev", tmp_path / "talks" / "corpus"), system).stops == backend.stops
    turns = write_talk(tmp_path / "talk.wav", ORDER)
    for method in ("cosine", "plda", "vbx"):
        found = wavlm.diarize(tmp_path / "talk.wav", system, Choice(method=method))
        assert rate(turns, found, 40.0) < 0.4, method
    write_talk(tmp_path / "six.wav", [0, 1, 2, 3, 4, 5], seconds=2.0)
    for method in ("cosine", "vbx"):
        assert wavlm.diarize(tmp_path / "six.wav", system, Choice(method=method))
    told = wavlm.diarize(tmp_path / "talk.wav", system, Choice(method="cosine", speakers=3))
    assert rate(turns, told, 40.0) < 0.15
    (system / "diarization.safetensors").write_bytes(b"no")
    with pytest.raises(BadDataError, match="SYSTEM_BROKEN"):
        open_diarizer(system)


def test_a_head_of_blocks_is_stitched_and_a_known_recording_is_scored(tmp_path: Path) -> None:
    system = superb_diarizer(tmp_path / "sd")
    turns = write_talk(tmp_path / "talk.wav", ORDER)
    (tmp_path / "right.rttm").write_text(to_rttm("talk", turns))
    command = ["diarize", str(tmp_path / "talk.wav"), "--system", str(system), "--out", str(tmp_path / "found.rttm")]
    options = ["--threshold", "0.4", "--block-seconds", "10", "--reference", str(tmp_path / "right.rttm")]
    result = CliRunner().invoke(app, [*command, *options], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    found = read_rttm_file(tmp_path / "found.rttm")
    assert "collar 0.25 s each side" in result.output
    assert set(found) <= {"talk"}
    for start_s, end_s, _ in found.get("talk", []):
        assert 0 <= start_s < end_s <= 1.0 + len(ORDER) * 4.8 + 0.001


@pytest.mark.parametrize("head", ["eend_eda", "sc_eend", "eend_vc", "eend_gla"])
def test_more_speakers_than_training_had_stop_no_end_to_end_system(tmp_path: Path, head: str) -> None:
    """Six voices for heads that know three; blocks of 6 s, so that blocks are stitched."""
    turns = write_talk(tmp_path / "talk.wav", [0, 1, 2, 3, 4, 5], seconds=3.0)
    opened = open_diarizer(end_to_end(tmp_path / head, head), Choice(threshold=0.3, block_seconds=6.0))
    found = wavlm.diarize(tmp_path / "talk.wav", opened)
    assert found
    assert found == sorted(found)
    assert all(0 <= start_s < end_s <= turns[-1][1] + 1.0 for start_s, end_s, _ in found)
    assert wavlm.diarize(tmp_path / "talk.wav", opened) == found  # nothing is drawn


def test_what_does_not_diarize_is_refused(tmp_path: Path) -> None:
    system = write_system(tmp_path / "ks", {"type": "ks"}, {"type": "pooled_linear"}, {"classes": ["yes", "no"]})
    with pytest.raises(UsageError, match="SYSTEM_UNKNOWN: the system made does the task ks, expected sd or asv"):
        open_diarizer(system)
    with pytest.raises(BadDataError, match="RECORD_BROKEN"):
        open_diarizer(tmp_path)


@pytest.mark.full
def test_the_oracle_wants_the_reference(tmp_path: Path) -> None:
    system = verifier(tmp_path / "asv")
    write_talk(tmp_path / "talk.wav", [0, 1])
    result = CliRunner().invoke(
        app, ["diarize", str(tmp_path / "talk.wav"), "--system", str(system), "--speech", "oracle"]
    )
    assert isinstance(result.exception, UsageError)
    assert "REFERENCE_MISSING" in str(result.exception)


def test_lines_of_rttm_are_read_as_they_were_written(tmp_path: Path) -> None:
    turns = [(0.0, 1.25, "1"), (1.0001, 2.5, "a b"), (3.0, 3.0002, "gone")]
    (tmp_path / "a.rttm").write_text(to_rttm("my talk", turns))
    assert read_rttm_file(tmp_path / "a.rttm") == {"my_talk": [(0.0, 1.25, "1"), (1.0, 2.5, "a_b")]}


def test_scores_are_by_the_speakers_of_the_reference() -> None:
    """Two recordings of two speakers, of which one is found as one, and one of three that is right."""
    right = [(0.0, 4.0, "A"), (4.0, 8.0, "B")]
    three = [*right, (8.0, 9.0, "C")]
    whole = [(0.0, 10.0)]
    recordings = [
        ScoredRecording(three, three, whole),
        ScoredRecording(right, [(0.0, 8.0, "x")], whole),
        ScoredRecording(right, right, whole),
    ]
    two, of_three, everything = score_by_speakers(recordings, [0.0, 0.25])
    assert [it.speakers for it in (two, of_three, everything)] == [2, 3, None]
    assert [it.recordings for it in (two, of_three, everything)] == [2, 1, 3]
    assert two.rates[0.0] == pytest.approx(4 / 16)
    # Of each turn a quarter of a second goes at either end: 7 s are scored per recording.
    assert two.rates[0.25] == pytest.approx(3.5 / 14)
    # A with x: 4 of 8 s in common; B with nobody.
    assert two.jer == pytest.approx((0.5 + 1 + 0 + 0) / 4)
    assert everything.rates[0.0] == pytest.approx(4 / 25)
    assert (two.found_right, of_three.found_right, everything.found_right) == (1, 1, 2)
    assert np.isclose(of_three.rates[0.0] + of_three.jer, 0)


def untrained(folder: Path) -> Path:
    """Embeddings of chance: enough for what does not look at them."""
    return write_system(folder, {"type": "asv"}, {"type": "ecapa", **SMALL}, list("abc"))


def test_an_option_for_systems_of_the_other_kind_is_refused_by_its_name(tmp_path: Path) -> None:
    windows, blocks = untrained(tmp_path / "asv"), end_to_end(tmp_path / "eda", "eend_eda")
    for system, choice, name in (
        (windows, Choice(threshold=0.4), "threshold"),
        (windows, Choice(block_seconds=30.0), "block-seconds"),
        (blocks, Choice(method="vbx", stop=0.5), "method, stop"),
        (blocks, Choice(detector="energy"), "speech"),
        (blocks, Choice(speakers=2), "speakers"),
    ):
        with pytest.raises(UsageError, match=f"OPTION_UNUSED: {name} would change nothing"):
            open_diarizer(system, choice)
    write_talk(tmp_path / "talk.wav", [0, 1])
    result = CliRunner().invoke(
        app, ["diarize", str(tmp_path / "talk.wav"), "--system", str(blocks), "--speech", "energy"]
    )
    assert isinstance(result.exception, UsageError)
    assert open_diarizer(end_to_end(tmp_path / "vc", "eend_vc"), Choice(speakers=2))


def test_names_of_one_recording_alone_are_other_speakers_in_each(tmp_path: Path) -> None:
    """Two conversations with A and B: two voices everywhere, which a PLDA of one dimension tells apart, or four."""
    system = untrained(tmp_path / "asv")
    for number, order in enumerate(([0, 1, 0], [2, 3, 2])):
        path = tmp_path / "dev" / f"talk{number}.wav"
        path.parent.mkdir(exist_ok=True)
        turns = [(start_s, end_s, "AB"[int(name[1:]) % 2]) for start_s, end_s, name in write_talk(path, order)]
        path.with_suffix(".rttm").write_text(to_rttm(path.stem, turns))
    for names, most in (("everywhere", 1), ("recording", 3)):
        plda = fit_folder(tmp_path / "dev", system, names).plda  # type: ignore[arg-type]
        assert plda is not None
        assert plda.projection.shape[1] == most
