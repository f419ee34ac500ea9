"""Kind A: lengths in headers were believed.

A FLAC that was written into a pipe says 0 samples, and that became 1.6e11 hours of a corpus: 98 % of it was held out,
and a run trained on 4 utterances. Recorders that stream or die leave 0, -1, 2**31 or the length of their last update.
"""

from pathlib import Path

import numpy as np
import pytest

from tests.corpus.audio.recordings import decoded, recording, speech, write
from wavlm.corpus.audio.reason import AudioError, NoteCode
from wavlm.corpus.audio.stream import probe

STEPS = np.rint(speech() * 32767) / 32768  # the encoder of the tests scales by 32767 or 32768
SAMPLES = len(STEPS)


def patch(blob: bytes, at: int, new: bytes) -> bytes:
    return blob[:at] + new + blob[at + len(new) :]


def flac_saying(num_samples: int, *, has_md5: bool = True) -> bytes:
    """A FLAC whose STREAMINFO says this: 36 bits that end at byte 26, then the MD5."""
    blob = recording("FLAC, 16 bits")
    packed = int.from_bytes(blob[18:26], "big") >> 36 << 36 | num_samples
    blob = patch(blob, 18, packed.to_bytes(8, "big"))
    return blob if has_md5 else patch(blob, 26, bytes(16))


def wav_saying(riff: int, data: int) -> bytes:
    blob = recording("WAV, 16 bits")
    return patch(patch(blob, 4, riff.to_bytes(4, "little")), 40, data.to_bytes(4, "little"))


def chunk_size(blob: bytes, name: bytes, size: int, num_bytes: int = 4) -> bytes:
    return patch(blob, blob.index(name) + 4, size.to_bytes(num_bytes, "big"))


def nist_saying(count: str) -> bytes:
    blob = recording("NIST SPHERE")
    old = f"sample_count -i {SAMPLES}\n"
    return blob.replace(old.encode(), count.encode().ljust(len(old), b"\n"))


UNKNOWN = {
    "a FLAC from a pipe": flac_saying(0, has_md5=False),
    "a FLAC of 2**36 - 1 samples": flac_saying(2**36 - 1),
    "a FLAC of 2**36 - 1 samples without MD5": flac_saying(2**36 - 1, has_md5=False),
    "a WAV from a pipe": wav_saying(0xFFFFFFFF, 0xFFFFFFFF),
    "a WAV from sox in a pipe": wav_saying(0x7FFFFFFF, 0x7FFFFFDB),
    "a WAV from ffmpeg in a pipe": wav_saying(0xFFFFFFFF, 0xFFFFFFFF - 36),
    "an AU from a pipe": patch(recording("AU"), 8, b"\xff" * 4),
    "an AIFF from a pipe": chunk_size(recording("AIFF"), b"SSND", 0x7F000008),
    "a CAF from a pipe": patch(recording("CAF"), recording("CAF").index(b"data") + 4, b"\xff" * 8),
    "a NIST file without a count": nist_saying("sample_rate -i 16000"),
}

STALE = {
    "a WAV of 1 s": wav_saying(36 + 32000, 32000),
    "a WAV of 0 s": wav_saying(0, 0),
    "a WAV whose data alone say 0": wav_saying(36 + 2 * SAMPLES, 0),
    "an AU of 1 s": patch(recording("AU"), 8, (32000).to_bytes(4, "big")),
    "an AIFF of 1 s": chunk_size(recording("AIFF"), b"SSND", 32008),
    "a CAF of 1 s": patch(recording("CAF"), recording("CAF").index(b"data") + 4, (32004).to_bytes(8, "big")),
    "a NIST file of 1 s": nist_saying("sample_count -i 16000"),
    "a FLAC of 1 s": flac_saying(16000, has_md5=False),
    "a FLAC of 1 s with the MD5 of all": flac_saying(16000),
}


@pytest.mark.parametrize("what", [*UNKNOWN, *STALE])
def test_all_samples_are_used_whatever_the_header_says(what: str, tmp_path: Path) -> None:
    path = write(tmp_path, "a", UNKNOWN.get(what) or STALE[what])
    waveform, stream = decoded(path)
    assert probe(path).num_samples == stream.num_samples == SAMPLES
    np.testing.assert_allclose(waveform[0], STEPS, atol=2e-4)


@pytest.mark.parametrize("what", STALE)
def test_a_recovered_length_is_noted_with_both_lengths(what: str, tmp_path: Path) -> None:
    _, stream = decoded(write(tmp_path, "a", STALE[what]))
    (note,) = stream.notes
    announced = 0 if " 0" in what else 16000
    assert note.code == NoteCode.LENGTH_RECOVERED
    assert f"announces {announced} samples, the file holds {SAMPLES}" in note.detail


@pytest.mark.parametrize("what", UNKNOWN)
def test_a_length_that_a_writer_could_not_know_needs_no_note(what: str, tmp_path: Path) -> None:
    assert decoded(write(tmp_path, "a", UNKNOWN[what]))[1].notes == ()


@pytest.mark.parametrize(
    "blob",
    [
        wav_saying(36 + 200000, 200000),
        patch(recording("AU"), 8, (200000).to_bytes(4, "big")),
        nist_saying("sample_count -i 99999"),
        flac_saying(SAMPLES + 5000, has_md5=False),
        recording("MP3")[:-2000],
        recording("M4A, AAC")[:-2000],
    ],
    ids=["wav", "au", "nist", "flac", "mp3", "m4a"],
)
def test_a_length_above_what_the_file_holds_is_a_file_that_was_cut(blob: bytes, tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="AUDIO_TRUNCATED"):
        decoded(write(tmp_path, "a", blob))


def test_a_wav_in_the_other_byte_order_is_as_long_as_in_this_one(tmp_path: Path) -> None:
    blob = recording("WAV, 16 bits")
    swapped = b"RIFX" + blob[7:3:-1] + b"WAVEfmt " + blob[19:15:-1]
    fields = [(20, 22), (22, 24), (24, 28), (28, 32), (32, 34), (34, 36)]
    swapped += b"".join(blob[start:end][::-1] for start, end in fields) + b"data" + blob[43:39:-1]
    swapped += np.frombuffer(blob[44:], "<i2").astype(">i2").tobytes()
    waveform, _ = decoded(write(tmp_path, "a", swapped))
    np.testing.assert_allclose(waveform[0], STEPS, atol=2e-4)
    with pytest.raises(AudioError, match="AUDIO_TRUNCATED"):
        decoded(write(tmp_path, "b", swapped[:-1000]))
