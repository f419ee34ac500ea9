"""Which files below a corpus are audio: by suffix, or by the first bytes of a file with an unknown suffix."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from wavlm.corpus.audio.formats import AUDIO_SUFFIXES, is_audio

__all__ = ["AUDIO_SUFFIXES", "BARE_SUFFIXES", "OTHER_SUFFIXES", "begins_as_audio", "suffix_of"]

_BARE = "raw pcm sln sln16 sln48 ul ulaw mulaw al alaw vox g726 g729 gsm shn adpcm"
_OTHER = """
    txt tsv csv json jsonl yaml yml xml html htm md rst pdf tex log ini cfg lua py sh js css scm tree lab phn wrd trn
    textgrid eaf ctm rttm srt vtt stm lm dict lex png jpg jpeg gif bmp svg webp heic heif avif tif tiff ico ttf otf zip
    gz bz2 xz zst tar tgz 7z rar deb rpm parquet arrow npy npz pt pth safetensors h5 hdf5 sqlite db md5 sha256
"""
# Samples without a header: nothing in the file says their rate and width, so they are not read.
BARE_SUFFIXES = frozenset(f".{name}" for name in _BARE.split())
# Files of these suffixes are not opened to see whether they are audio.
OTHER_SUFFIXES = frozenset(f".{name}" for name in _OTHER.split())

# The first header of a stream of MPEG frames (MP3, ADTS) with possible layer, rate and bit rate. Such a stream may
# begin without any other mark.
_FRAME = re.compile(rb"\xff[\xfa\xfb\xf2\xf3][\x10-\xe7]|\xff[\xf0\xf1\xf8\xf9][\x40-\xbf]", re.DOTALL)
_FRAME_BYTES = 3


def suffix_of(path: str) -> str:
    """The suffix in lower case, such as `.flac`; empty if there is none."""
    return PurePosixPath(path).suffix.lower()


def begins_as_audio(path: Path) -> bool:
    """Whether a file of an unknown suffix begins as an audio file does. Raises OSError if it cannot be read."""
    if is_audio(path):
        return True
    with path.open("rb") as file:
        return _FRAME.match(file.read(_FRAME_BYTES)) is not None
