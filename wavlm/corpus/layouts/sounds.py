"""Which files below a corpus are audio: by suffix, or by the first bytes of a file with an unknown suffix."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from wavlm.corpus.audio.formats import AUDIO_SUFFIXES

__all__ = ["AUDIO_SUFFIXES", "BARE_SUFFIXES", "OTHER_SUFFIXES", "has_audio_mark", "suffix_of"]

_BARE = "raw pcm sln sln16 sln48 ul ulaw mulaw al alaw vox g726 g729 gsm shn adpcm"
_OTHER = """
    txt tsv csv json jsonl yaml yml xml html htm md rst pdf tex log ini cfg lua py sh js css scm tree lab phn wrd trn
    textgrid eaf ctm rttm srt vtt stm lm dict lex png jpg jpeg gif bmp svg webp tif tiff ico ttf otf zip gz bz2 xz zst
    tar tgz 7z rar deb rpm parquet arrow npy npz pt pth safetensors h5 hdf5 sqlite db md5 sha256
"""
# Samples without a header: nothing in the file says their rate and width, so they are not read.
BARE_SUFFIXES = frozenset(f".{name}" for name in _BARE.split())
# Files of these suffixes are not opened to see whether they are audio.
OTHER_SUFFIXES = frozenset(f".{name}" for name in _OTHER.split())

SNIFFED_BYTES = 64
_MARKS = re.compile(
    rb"RIFF....WAVE|RIFX....WAVE|RF64....WAVE|riff\x2e\x91\xcf\x11|FORM....AIF[FC]|fLaC|OggS|ID3[\x02-\x04]|\.snd\x00|"
    rb"caff\x00|NIST_1A\n|....ftyp(?!avif|heic|heix|mif1)|\x1a\x45\xdf\xa3|#!AMR|\x30\x26\xb2\x75\x8e\x66\xcf\x11|"
    rb"wvpk|MAC |TTA1|Creative Voice File|\xff[\xf0\xf1\xf8\xf9][\x40-\xbf]|\xff[\xfa\xfb\xf2\xf3][\x10-\xe7]",
    re.DOTALL,
)


def suffix_of(path: str) -> str:
    """The suffix in lower case, such as `.flac`; empty if there is none."""
    return PurePosixPath(path).suffix.lower()


def has_audio_mark(path: Path) -> bool:
    """Whether a file begins as an audio file does. Raises OSError if it cannot be read."""
    with path.open("rb") as file:
        return _MARKS.match(file.read(SNIFFED_BYTES)) is not None
