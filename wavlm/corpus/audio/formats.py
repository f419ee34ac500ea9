"""Which files are audio: by their content first, by their suffix where the content has no mark."""

from __future__ import annotations

from pathlib import Path

# Suffixes of audio files that soundfile or PyAV decodes. The content decides; suffixes only find candidates.
_NAMES = (
    "wav wave wavex rf64 w64 bwf flac fla ogg oga opus spx mp3 mp2 mp1 mpga aiff aif aifc au snd caf sph nist "
    "m4a m4b mp4 m4v mov 3gp 3g2 aac adts webm weba mka mkv amr awb wma asf wv ape tta ac3 voc avi ts g722"
)
AUDIO_SUFFIXES = frozenset(f".{name}" for name in _NAMES.split(" "))
HEADERLESS_SUFFIXES = frozenset({".g722"})


def is_audio(path: Path) -> bool:
    """Whether a file is audio that `wavlm.corpus.audio.stream` may read: by suffix, or by its first bytes.

    A False means that neither says audio. A True is no promise that the file decodes.
    Raises OSError if the file cannot be read.
    """
    return path.suffix.lower() in AUDIO_SUFFIXES
