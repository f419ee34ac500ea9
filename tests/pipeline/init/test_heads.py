"""Heads of files: what they say, and what is a problem and not an error."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.field.speech import speech
from wavlm.execution.progress import no_progress
from wavlm.pipeline.init import heads as module
from wavlm.pipeline.init.heads import MEASURED, FileHead, read_heads


def test_heads_come_in_the_order_of_the_files(tmp_path: Path) -> None:
    lengths = [0.5 + number / 100 for number in range(70)]  # more than one batch
    for number, seconds in enumerate(lengths):
        soundfile.write(tmp_path / f"{number:02}.flac", np.zeros((round(8000 * seconds), 2)), 8000)
    seen: list[tuple[float, float]] = []
    heads = read_heads(sorted(tmp_path.iterdir()), 2, lambda done, total: seen.append((done, total)))
    assert [head.seconds for head in heads] == pytest.approx(lengths, abs=1e-3)
    assert {(head.kind, head.sample_rate_hz, head.channels) for head in heads} == {("FLAC PCM_16", 8000, 2)}
    assert seen[-1] == (70, 70)


def test_a_broken_an_empty_and_a_missing_file_are_problems(tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("this is no audio at all, whatever its name says")
    (tmp_path / "empty.wav").touch()
    soundfile.write(tmp_path / "good.wav", np.zeros(8000), 16000)
    heads = read_heads([tmp_path / name for name in ("text.wav", "good.wav", "empty.wav", "gone.wav")], 1, no_progress)
    assert [bool(head.problem) for head in heads] == [True, False, True, True]
    assert heads[1].seconds == 0.5


def test_a_file_that_crashes_its_decoder_costs_only_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The function that the child runs is replaced by one that dies of the second file."""
    for name in "abcd":
        soundfile.write(tmp_path / f"{name}.wav", np.zeros(8000), 16000)
    monkeypatch.setattr(module, "read_batch", die_of_b)
    heads = read_heads(sorted(tmp_path.iterdir()), 1, no_progress)
    assert [head.problem for head in heads] == ["", "DECODER_CRASHED", "", ""]


def die_of_b(paths: list[Path]):  # type: ignore[no-untyped-def]
    for path in paths:
        if path.name == "b.wav":
            os.abort()
        yield FileHead(str(path), 1, seconds=1.0)


def test_a_length_that_only_a_decode_tells_is_estimated_by_the_size(tmp_path: Path) -> None:
    """Opus in WebM as browsers write it has no length."""
    import av

    for number in range(30):
        with av.open(str(tmp_path / f"{number:02}.webm"), "w", format="webm", options={"live": "1"}) as out:
            stream = out.add_stream("libopus", rate=48000, layout="mono")
            samples = (32767 * np.repeat(speech(2.0, number % 20), 3)).astype(np.int16).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            frame.sample_rate = 48000
            out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
    heads = read_heads(sorted(tmp_path.iterdir()), 2, no_progress)
    assert sum(head.is_estimated for head in heads) == 30 - MEASURED
    assert sum(head.seconds for head in heads) == pytest.approx(60, rel=0.1)
