"""Kind C: bytes of a file were not accounted for.

Of two Ogg files behind each other 8.46 of 14.39 s were read, of two MP3s as well, and of a WAV whose recorder died only
what its header said: in silence. Now each byte is audio that is used, a known tag, or a reason to refuse the file.
"""

import io
import itertools
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.corpus.audio.recordings import (
    KINDS,
    RATE_HZ,
    decoded,
    decoded_blob,
    encode,
    encode_by_av,
    recording,
    speech,
    write,
)
from wavlm.corpus.audio.reason import AudioError, NoteCode
from wavlm.corpus.audio.stream import probe

# The header of these has no length, and that of their frames is no mark of a new recording: they are one stream.
ONE_STREAM = ("MP2", "ADTS, AAC", "AC-3")
JUNK = np.random.default_rng(3).bytes(5000)


@pytest.mark.parametrize("name", KINDS)
def test_files_behind_each_other_are_all_read(name: str, tmp_path: Path) -> None:
    first, second = recording(name, 0, 1.5), recording(name, 1, 1.0)
    both = write(tmp_path, "both", first + second)
    waveform, stream = decoded(both)
    expected = np.concatenate([decoded_blob(first), decoded_blob(second)], axis=1)
    assert probe(both).num_samples == waveform.shape[1] == expected.shape[1]
    if name not in ONE_STREAM:
        np.testing.assert_array_equal(waveform, expected)
    codes = [note.code for note in stream.notes]
    assert codes == ([] if name in ONE_STREAM else [NoteCode.PARTS_JOINED])


@pytest.mark.parametrize("name", ["Ogg Vorbis", "Ogg Opus", "MP3", "FLAC, 16 bits", "WAV, 16 bits"])
@pytest.mark.parametrize("change", ["rate", "channels"])
def test_files_behind_each_other_that_differ_are_refused(name: str, change: str) -> None:
    kind = KINDS[name]
    file = io.BytesIO()
    other = np.stack([speech()[:16000]] * 2, axis=1) if change == "channels" else speech()[:16000]
    rate_hz = 24000 if change == "rate" else kind.rate_hz
    soundfile.write(file, other, rate_hz, format=kind.container, subtype=kind.codec)
    with pytest.raises(AudioError, match="AUDIO_PARTS"):
        decoded_blob(recording(name) + file.getvalue())


def test_a_tag_between_two_recordings_is_no_audio() -> None:
    tag = b"TAG" + bytes(125)
    waveform = decoded_blob(recording("MP3", 0, 1.0) + tag + recording("MP3", 1, 1.0) + tag)
    assert waveform.shape == (1, 32000)


def test_the_same_speech_in_two_formats_behind_each_other_is_read() -> None:
    waveform = decoded_blob(recording("FLAC, 16 bits", 0, 1.0) + recording("WAV, 16 bits", 1, 1.0))
    np.testing.assert_allclose(waveform[0, 16000:], speech(number=1)[:16000], atol=2e-4)


@pytest.mark.parametrize("name", ["FLAC, 16 bits", "Ogg Vorbis", "Ogg Opus", "MP3", "M4A, AAC", "ADTS, AAC", "AMR"])
def test_bytes_behind_the_audio_that_are_none_are_refused(name: str) -> None:
    with pytest.raises(AudioError, match=r"AUDIO_TRAILING: \d+ bytes from byte \d+ on"):
        decoded_blob(recording(name) + JUNK)


def test_text_behind_the_audio_is_refused() -> None:
    with pytest.raises(AudioError, match="AUDIO_TRAILING: text"):
        decoded_blob(recording("WAV, 16 bits") + b"<note>added by a tool that knows no chunks</note>\n")


@pytest.mark.parametrize("name", ["MP3", "ADTS, AAC", "Ogg Vorbis", "FLAC, 16 bits"])
def test_bytes_missing_or_added_in_the_middle_are_found(name: str) -> None:
    blob = recording(name)
    middle = len(blob) // 2
    for changed in (blob[:middle] + blob[middle + 700 :], blob[:middle] + JUNK + blob[middle:]):
        with pytest.raises(AudioError):
            decoded_blob(changed)


def test_ogg_pages_out_of_order_are_found() -> None:
    blob = recording("Ogg Opus")
    starts = [at for at in range(len(blob)) if blob[at : at + 4] == b"OggS"] + [len(blob)]
    pages = [blob[start:end] for start, end in itertools.pairwise(starts)]
    assert len(pages) >= 4
    without = b"".join(pages[:2] + pages[3:])
    twice = b"".join([*pages[:3], *pages[2:]])
    for changed in (without, twice):
        with pytest.raises(AudioError, match="AUDIO_CORRUPT"):
            decoded_blob(changed)


def test_a_frame_missing_from_a_flac_without_md5_is_found() -> None:
    file = io.BytesIO()
    soundfile.write(file, speech(), 16000, format="FLAC")
    blob = bytearray(file.getvalue())
    blob[26:42] = bytes(16)
    second = blob.index(b"\xff\xf8" + blob[blob.index(b"\xff\xf8") + 2 : blob.index(b"\xff\xf8") + 4] + b"\x01")
    third = blob.index(b"\xff\xf8" + blob[second + 2 : second + 4] + b"\x02")
    with pytest.raises(AudioError, match="AUDIO_CORRUPT"):
        decoded_blob(bytes(blob[:second] + blob[third:]))


def test_a_kind_of_stereo_keeps_both_channels_across_parts() -> None:
    stereo = np.stack([speech()[:16000], 0.5 * speech()[:16000]], axis=1)
    blob = encode(stereo, KINDS["FLAC, 16 bits"])
    waveform = decoded_blob(blob + blob)
    np.testing.assert_allclose(waveform, np.concatenate([stereo.T, stereo.T], axis=1), atol=2e-4)


W64_TAIL = bytes.fromhex("f3acd3118cd100c04f8edb8a")  # of the 16 bytes that name a chunk
SECOND_CHUNKS = {
    "WAV, 16 bits": (b"LIST\x04\0\0\0INFO", b"data\x04\0\0\0abcd"),
    "Wave64": (b"levl" + W64_TAIL + struct.pack("<Q4s4x", 28, b"1234"), b"data" + W64_TAIL + struct.pack("<Q8x", 32)),
    "AIFF": (b"NAME\0\0\0\x04name", b"SSND" + struct.pack(">III4s", 12, 0, 0, b"abcd")),
    "CAF": (b"info" + struct.pack(">qI", 4, 0), b"data" + struct.pack(">qI4s", 8, 1, b"abcd")),
}


@pytest.mark.parametrize("name", SECOND_CHUNKS)
@pytest.mark.parametrize("place", ["at once", "behind another chunk"])
def test_a_second_data_chunk_is_not_left_out_in_silence(name: str, place: str) -> None:
    between, second = SECOND_CHUNKS[name]
    tail = second if place == "at once" else between + second
    with pytest.raises(AudioError, match=r"AUDIO_TRAILING: a second (data|SSND) chunk"):
        decoded_blob(recording(name) + tail)
    if place != "at once":
        np.testing.assert_array_equal(decoded_blob(recording(name) + between), decoded_blob(recording(name)))


@pytest.mark.parametrize("padding", [1, 2, 512])
def test_bytes_before_the_samples_of_an_aiff_are_no_audio(padding: int) -> None:
    blob = recording("AIFF")
    at = blob.index(b"SSND")
    size = int.from_bytes(blob[at + 4 : at + 8], "big")
    head = struct.pack(">4sIII", b"SSND", size + padding, padding, 0)
    moved = blob[:at] + head + b"\x07" * padding + blob[at + 16 :] + b"\0" * (padding % 2)
    moved = moved[:4] + struct.pack(">I", len(moved) - 8) + moved[8:]
    np.testing.assert_array_equal(decoded_blob(moved), decoded_blob(blob))


@pytest.mark.parametrize("name", ["Ogg Vorbis", "Ogg Opus"])
@pytest.mark.parametrize("granule", [0, -1])
def test_an_ogg_whose_time_goes_back_is_refused(name: str, granule: int) -> None:
    blob = recording(name)
    at = blob.rindex(b"OggS")
    page = blob[at : at + 6] + struct.pack("<q", granule) + blob[at + 14 : at + 22] + bytes(4) + blob[at + 26 :]
    page = page[:22] + struct.pack("<I", ogg_checksum(page)) + page[26:]
    with pytest.raises(AudioError, match=f"AUDIO_CORRUPT: the Ogg page at byte {at} ends at {granule}"):
        decoded_blob(blob[:at] + page)


def ogg_checksum(page: bytes) -> int:
    """The CRC of RFC 3533: polynomial 0x04c11db7, no reflection, starts with 0."""
    value = 0
    for byte in page:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1 ^ 0x04C11DB7 if value >> 31 else value << 1) & 0xFFFFFFFF
    return value


@pytest.mark.parametrize("samples", [100, 4096, 5000, 8192, 12289, 16000])
@pytest.mark.parametrize("writer", ["libsndfile", "FFmpeg"])
def test_alac_in_caf_has_all_samples_whatever_the_last_packet_holds(samples: int, writer: str) -> None:
    expected = speech()[:samples]
    by_av = encode_by_av(expected, RATE_HZ, "caf", "alac") if writer == "FFmpeg" else b""
    waveform = decoded_blob(by_av or encode(expected, KINDS["CAF, ALAC"]))
    assert waveform.shape == (1, samples)
    np.testing.assert_allclose(waveform[0], expected, atol=2e-4)


def test_a_part_of_a_frame_before_an_mp3_is_noted(tmp_path: Path) -> None:
    blob = recording("MP3")[700:]
    waveform, stream = decoded(write(tmp_path, "broadcast", blob))
    assert [note.code for note in stream.notes] == [NoteCode.BYTES_SKIPPED]
    assert waveform.shape[1] % 576 == 0
    with pytest.raises(AudioError):
        decoded_blob(JUNK + recording("MP3"))


def test_a_damaged_packet_of_wma_is_found() -> None:
    blob = recording("WMA")
    at = blob.index(bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")) + 4000
    with pytest.raises(AudioError):
        decoded_blob(blob[:at] + JUNK[:1500] + blob[at:])
