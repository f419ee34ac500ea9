"""Each format in docs/formats.md is read by its content, and gives the speech that was put in."""

import re
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.corpus.audio.recordings import KINDS, decoded, decoded_blob, encode_by_av, recording, speech, write
from wavlm.corpus.audio.formats import AUDIO_SUFFIXES, is_audio
from wavlm.corpus.audio.reason import AudioError
from wavlm.corpus.audio.stream import probe

DOCS = Path(__file__).parents[3] / "docs" / "formats.md"
# The encoder of AMR turns the sign, and that of WMA leaves out its first frame.
LEAST_CORRELATION = 0.85


def correlation(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """The largest correlation of two signals (T,), whatever the delay and the sign."""
    size = 1 << (len(found) + len(expected)).bit_length()
    product = np.fft.rfft(found, size) * np.conj(np.fft.rfft(expected, size))
    norm = np.linalg.norm(found) * np.linalg.norm(expected)
    return float(np.abs(np.fft.irfft(product, size)).max() / norm)


@pytest.mark.parametrize("name", KINDS)
def test_a_format_gives_the_speech_that_was_put_in(name: str, tmp_path: Path) -> None:
    kind = KINDS[name]
    path = write(tmp_path, "no-suffix", recording(name))
    expected = speech(kind.rate_hz)
    waveform, stream = decoded(path)
    info = probe(path)
    assert (info.format, info.sample_rate_hz, info.channels) == (kind.format or kind.container, kind.rate_hz, 1)
    assert info.num_samples == stream.num_samples == waveform.shape[1]
    assert (
        0 <= waveform.shape[1] - len(expected) + (1024 if name == "WMA" else 0) <= kind.slack + 1024 * (name == "WMA")
    )
    if kind.is_lossy:
        assert correlation(waveform[0], expected) > LEAST_CORRELATION
    else:
        np.testing.assert_allclose(waveform[0, : len(expected)], expected, atol=kind.error)


@pytest.mark.parametrize("name", KINDS)
def test_a_format_is_known_by_its_suffix(name: str) -> None:
    assert f".{KINDS[name].suffix}" in AUDIO_SUFFIXES


@pytest.mark.parametrize("name", [name for name in KINDS if KINDS[name].suffix not in ("mp3", "mp2", "aac")])
def test_a_format_is_known_by_its_content(name: str, tmp_path: Path) -> None:
    assert is_audio(write(tmp_path, "no-suffix", recording(name, seconds=0.5)))


def test_text_is_no_audio_and_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "notes", b"a log of some words, and of others\n" * 9)
    assert not is_audio(path)
    with pytest.raises(AudioError, match="AUDIO_UNREADABLE: the content is text"):
        probe(path)


@pytest.mark.parametrize("playlist", [b"#EXTM3U\n/etc/passwd\n", b"ffconcat version 1.0\nfile /etc/passwd\n"])
def test_a_playlist_opens_no_other_file(playlist: bytes, tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="AUDIO_UNREADABLE"):
        probe(write(tmp_path, "a.wav", playlist * 20))


def test_several_audio_streams_are_refused() -> None:
    blob = encode_by_av(speech(), 16000, "matroska", "flac", streams=2)
    with pytest.raises(AudioError, match="AUDIO_STREAMS: 2 audio streams"):
        decoded_blob(blob)


def test_a_compressed_nist_file_says_which_program_unpacks_it() -> None:
    blob = recording("NIST SPHERE").replace(
        b"sample_coding -s3 pcm\n", b"sample_coding -s26 pcm,embedded-shorten-v2.00\n"
    )
    assert b"embedded" in blob
    with pytest.raises(AudioError, match="sph2pipe"):
        decoded_blob(blob)


def test_docs_name_each_format_that_is_tested() -> None:
    table = DOCS.read_text().split("## A length")[0]
    listed = set(re.findall(r"^\| ([^|]+?) \|", table, re.MULTILINE)) - {"format", "---"}
    assert listed == {*KINDS, "raw G.722"}
