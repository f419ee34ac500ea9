"""Which files are audio: by their content, or by their suffix where the content has no mark.

The table in docs/formats.md says what is read of each format.
"""

from __future__ import annotations

from pathlib import Path

# Suffixes of audio files that soundfile or PyAV decodes. The content decides; suffixes only find candidates.
_NAMES = (
    "wav wave wavex rf64 w64 bwf flac fla ogg oga opus spx mp3 mp2 mp1 mpga aiff aif aifc au snd caf sph nist "
    "m4a m4b mp4 m4v mov 3gp 3g2 aac adts webm weba mka mkv amr awb wma asf wv ape tta ac3 voc avi flv avr svx 8svx "
    "paf pvf sf ircam g722"
)
AUDIO_SUFFIXES = frozenset(f".{name}" for name in _NAMES.split(" "))
HEADERLESS_SUFFIXES = frozenset({".g722"})
HEAD_BYTES = 64

# (format, position of the mark, mark). The first that fits counts.
_MARKS: tuple[tuple[str, int, bytes], ...] = (
    ("WAV", 8, b"WAVE"),  # behind RIFF, RIFX, RF64 or BW64 and a size
    ("W64", 0, b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb"),
    ("FLAC", 0, b"fLaC"),
    ("OGG", 0, b"OggS"),
    ("AIFF", 8, b"AIFF"),
    ("AIFF", 8, b"AIFC"),
    ("CAF", 0, b"caff"),
    ("AU", 0, b".snd"),
    ("AU", 0, b"dns."),
    ("NIST", 0, b"NIST_1A\n"),
    ("MP4", 4, b"ftyp"),
    ("MP4", 4, b"moov"),
    ("MP4", 4, b"mdat"),
    ("MP4", 4, b"wide"),
    ("MATROSKA", 0, b"\x1a\x45\xdf\xa3"),
    ("ASF", 0, bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")),
    ("AMR", 0, b"#!AMR\n"),
    ("AMR", 0, b"#!AMR-WB\n"),
    ("WAVPACK", 0, b"wvpk"),
    ("AVR", 0, b"2BIT"),
    ("SVX", 8, b"8SVX"),
    ("SVX", 8, b"16SV"),
    ("PAF", 0, b" paf"),
    ("PAF", 0, b"fap "),
    ("PVF", 0, b"PVF1\n"),
    ("IRCAM", 0, b"\x64\xa3"),
    ("VOC", 0, b"Creative Voice File\x1a"),
    ("WVE", 0, b"ALawSoundFile**"),
    ("TTA", 0, b"TTA1"),
    ("AC3", 0, b"\x0b\x77"),
    ("AVI", 8, b"AVI "),
    ("FLV", 0, b"FLV\x01"),
)
SHORT_MARKS = frozenset({"IRCAM", "AC3"})  # two bytes, which audio holds by accident
# The demuxers of FFmpeg that may be used: none that opens other files, as playlists do.
FFMPEG_DEMUXERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,asf,amr,amrnb,amrwb,wv,tta,ac3,eac3,avi,flv,aac,mp3,ogg,wav,aiff,caf,au,flac"
)
# Those for content without a known mark. They look for their own mark, and not for frames behind other bytes.
OTHER_DEMUXERS = "ape,tak,shn,mpc,mpc8,dsf,mpegts"


def mark_of(head: bytes) -> str | None:
    """The format that the first bytes of a file name; None if they name none."""
    for name, at, mark in _MARKS:
        if head[at : at + len(mark)] == mark and (name != "WAV" or head[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64")):
            return name
    return None


def is_audio(path: Path) -> bool:
    """Whether a file is audio that `wavlm.corpus.audio.stream` may read: by its suffix, or by its first bytes.

    False means that neither says audio. True is no promise that the file decodes: an MP3 without a tag and with another
    suffix has no mark, and text with the suffix .wav is refused when it is opened.
    Raises OSError if the file cannot be read.
    """
    if path.suffix.lower() in AUDIO_SUFFIXES:
        return True
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    return mark_of(head) is not None or head[:3] == b"ID3"
