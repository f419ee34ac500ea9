"""Kinds D and T: an exception of a decoder ended the stage and named no file; a text held the address of an object.

Twenty FLACs and one voicemail in GSM 6.10 ended a run with a traceback. Now whatever a decoder raises is a reason that
names the file, and the same rejects give the same bytes in every run.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.corpus.audio.recordings import decoded, recording, write
from tests.shards.corpora import SPEC, Clip, noise_clip, write_corpus
from wavlm.corpus.audio import decoders
from wavlm.corpus.audio.reason import AudioError
from wavlm.execution.progress import no_progress
from wavlm.shards import build_shards
from wavlm.shards.rejects import read_rejects, rejects_path

VOICEMAIL = Clip("msg0001", recording("WAV, GSM 6.10"), suffix=".WAV", sample_rate_hz=16000, num_samples=38400)
HTML = Clip("login", b"<html>not audio</html>", suffix=".flac")
BROKEN = Clip("broken", recording("M4A, AAC")[:8000] + bytes(4000) + recording("M4A, AAC")[12000:], suffix=".m4a")
SPEC_WITH_BAD = SPEC.model_copy(update={"max_rejected": 0.9})


def test_a_voicemail_in_gsm_is_packed_like_the_others(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", [noise_clip("anna-1", 2.0), VOICEMAIL])
    facts = build_shards(SPEC, corpus, tmp_path / "shards", 1, no_progress)
    assert facts.rejected == {}
    assert facts.recordings_used == 2


def test_rejects_have_the_same_bytes_in_each_run(tmp_path: Path) -> None:
    tables = []
    for number in (1, 2):
        corpus = write_corpus(tmp_path / f"corpus{number}", [noise_clip("anna-1", 2.0), HTML, BROKEN])
        build_shards(SPEC_WITH_BAD, corpus, tmp_path / f"shards{number}", 1, no_progress)
        tables.append(rejects_path(tmp_path / f"shards{number}").read_bytes())
    assert tables[0] == tables[1]
    details = [reject.detail for reject in read_rejects(tmp_path / "shards1")]
    assert any("login.flac" in detail for detail in details)
    assert not any("0x" in detail or str(tmp_path) in detail for detail in details)


@pytest.mark.parametrize(
    "error", [ValueError("odd <_io.BytesIO object at 0x7f3a>"), MemoryError(), RuntimeError("a\nb")]
)
def test_whatever_a_decoder_raises_becomes_a_reason(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(decoders.SoundfileDecoder, "blocks", fail)
    with pytest.raises(AudioError, match=r"AUDIO_CORRUPT: the decoder says: .*; in a\.wav; ") as caught:
        decoded(write(tmp_path, "a.wav", recording("WAV, 16 bits")))
    assert "0x" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_disk_that_fails_is_not_called_a_damaged_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, "a.wav", recording("WAV, 16 bits"))
    samples, stream = decoded(path)
    assert np.isfinite(samples).all()
    assert stream.num_samples == 38400

    real, calls = decoders.View.read, 0

    def read(view: Any, size: int | None = -1) -> bytes:
        nonlocal calls
        calls += 1
        if calls > 5:
            view.error = OSError(5, "Input/output error")
            return b""
        return real(view, size)

    monkeypatch.setattr(decoders.View, "read", read)
    with pytest.raises(AudioError, match="AUDIO_UNREADABLE: it cannot be read: Input/output error"):
        decoded(path)
