"""Kind B: healthy files were refused, because an estimate in libsndfile's header differs from what decodes.

An MP3 of constant rate needs no info frame; a cover picture of 300 kB made 46 s of 8.5 s. Tags may stand before and
behind the audio.
"""

import io
from pathlib import Path

import av
import numpy as np
import pytest

from tests.corpus.audio.recordings import decoded, encode_by_av, recording, speech, write
from wavlm.corpus.audio.mpeg import parse_mpeg
from wavlm.corpus.audio.stream import probe

MP3 = recording("MP3")
FIRST = parse_mpeg(MP3)
assert FIRST is not None
BARE_MP3 = MP3[FIRST.size :]


def id3v2(content: bytes) -> bytes:
    """A tag of version 2.3 with one frame, such as a cover picture. Sizes have 7 bits per byte."""
    frame = b"APIC" + len(content).to_bytes(4, "big") + b"\0\0" + content
    size = bytes(len(frame) >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x03\0\0" + size + frame


def ape_tag() -> bytes:
    """An APE tag of one item, with a header and a footer."""
    item = (3).to_bytes(4, "little") + bytes(4) + b"Title\0" + b"abc"
    size, count = (len(item) + 32).to_bytes(4, "little"), (1).to_bytes(4, "little")
    head = b"APETAGEX" + (2000).to_bytes(4, "little") + size + count
    return head + b"\0\0\0\xa0" + bytes(8) + item + head + b"\0\0\0\x80" + bytes(8)


ID3V1 = b"TAG" + b"title".ljust(125, b"\0")
PICTURE = np.random.default_rng(1).bytes(300_000)
LIST_CHUNK = b"LIST" + (26).to_bytes(4, "little") + b"INFOISFT" + (14).to_bytes(4, "little") + b"Lavf60.16.100\0"


def wav_with(behind: bytes, before: bytes = b"") -> bytes:
    """A WAV with chunks before and behind its data, and sizes that fit."""
    blob = recording("WAV, 16 bits")
    body = blob[8:36] + before + blob[36:] + behind
    return b"RIFF" + len(body).to_bytes(4, "little") + body


FRAME_COUNT = 69  # of 576 samples: 38400 samples of speech and the padding of the encoder

HEALTHY: dict[str, tuple[bytes, int]] = {
    "MP3 without an info frame": (BARE_MP3, FRAME_COUNT * 576),
    "MP3 with a tag and without an info frame": (id3v2(b"title") + BARE_MP3, FRAME_COUNT * 576),
    "MP3 with a cover picture": (id3v2(PICTURE) + MP3, 38400),
    "MP3 with a cover picture and without an info frame": (id3v2(PICTURE) + BARE_MP3, FRAME_COUNT * 576),
    "MP3 with ID3v1": (MP3 + ID3V1, 38400),
    "MP3 with APE and ID3v1": (MP3 + ape_tag() + ID3V1, 38400),
    "MP3 with APE in front": (ape_tag() + MP3, 38400),
    "MP3 with two tags in front": (id3v2(b"title") + id3v2(b"artist") + MP3, 38400),
    "MP3 with zeros behind its tag": (id3v2(b"title") + bytes(1000) + MP3, 38400),
    "FLAC with ID3v2 in front": (id3v2(b"title") + recording("FLAC, 16 bits"), 38400),
    "FLAC with ID3v1": (recording("FLAC, 16 bits") + ID3V1, 38400),
    "FLAC with zeros behind": (recording("FLAC, 16 bits") + bytes(5000), 38400),
    "WAV with LIST behind": (wav_with(LIST_CHUNK), 38400),
    "WAV with LIST and id3 behind": (wav_with(LIST_CHUNK + b"id3 \x0a\0\0\0ID3\x03" + bytes(6)), 38400),
    "WAV with bext and JUNK before": (wav_with(b"", b"bext\x04\0\0\0abcd" + b"JUNK\x1c\0\0\0" + bytes(28)), 38400),
    "WAV with an odd chunk without padding": (wav_with(b"note\x03\0\0\0abc"), 38400),
    "WAV with zeros behind": (recording("WAV, 16 bits") + bytes(512), 38400),
    "WAV with ID3v1 behind": (recording("WAV, 16 bits") + ID3V1, 38400),
    "AAC with ID3v2 in front": (id3v2(b"title") + recording("ADTS, AAC"), 39936),
}


@pytest.mark.parametrize("what", HEALTHY)
def test_a_healthy_file_is_used_in_full_and_nothing_else_is(what: str, tmp_path: Path) -> None:
    blob, num_samples = HEALTHY[what]
    path = write(tmp_path, "a", blob)
    waveform, stream = decoded(path)
    assert probe(path).num_samples == waveform.shape[1] == num_samples
    assert stream.notes == ()
    expected = speech()
    size = 1 << 17
    product = np.fft.rfft(waveform[0], size) * np.conj(np.fft.rfft(expected, size))
    likeness = np.fft.irfft(product, size).max() / (np.linalg.norm(waveform) * np.linalg.norm(expected))
    assert likeness > 0.95


def test_an_mp3_without_an_info_frame_gives_what_ffmpeg_gives(tmp_path: Path) -> None:
    blob = encode_by_av(speech(), 16000, "mp3", "libmp3lame", {"write_xing": "0"})
    path = write(tmp_path, "a.mp3", blob)
    with av.open(str(path)) as container:
        expected = np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)
    waveform, _ = decoded(path)
    assert waveform.shape == expected.shape
    np.testing.assert_allclose(waveform, expected, atol=1e-4)


def test_an_mp3_of_ffmpeg_has_the_length_that_went_in(tmp_path: Path) -> None:
    path = write(tmp_path, "a", encode_by_av(speech(), 16000, "mp3", "libmp3lame"))
    assert probe(path).num_samples == decoded(path)[0].shape[1] == len(speech())


def test_a_wav_whose_last_padding_byte_is_missing_is_healthy(tmp_path: Path) -> None:
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, speech()[:16001], 16000, format="WAV", subtype="PCM_U8")
    path = write(tmp_path, "a", file.getvalue()[: 44 + 16001])
    assert decoded(path)[0].shape == (1, 16001)
