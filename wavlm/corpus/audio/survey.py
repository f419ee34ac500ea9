"""Take a file apart: the recordings in it, by their containers, so that each byte is audio, container or tag."""

from __future__ import annotations

from collections.abc import Iterator

from wavlm.corpus.audio.au_nist import walk_au, walk_nist
from wavlm.corpus.audio.boxes import walk_amr, walk_asf, walk_matroska, walk_mp4, walk_wavpack
from wavlm.corpus.audio.file_bytes import FileBytes
from wavlm.corpus.audio.flac import walk_flac
from wavlm.corpus.audio.formats import FFMPEG_MARKS, SNDFILE_MARKS, mark_of
from wavlm.corpus.audio.iff import walk_aiff, walk_caf
from wavlm.corpus.audio.mpeg import is_mpeg, parse_adts, walk_adts, walk_mpeg
from wavlm.corpus.audio.ogg import walk_ogg
from wavlm.corpus.audio.part import Part, Walker
from wavlm.corpus.audio.reason import Reason, refuse
from wavlm.corpus.audio.riff import walk_riff, walk_wave64
from wavlm.corpus.audio.tags import is_text, skip_tags

G722_SAMPLES_PER_BYTE = 2  # 64 kbit/s at 16 kHz (ITU-T G.722), without any header
MAX_PARTS = 10_000  # of a file; more is damage

WALKERS: dict[str, Walker] = {
    "WAV": walk_riff,
    "W64": walk_wave64,
    "FLAC": walk_flac,
    "OGG": walk_ogg,
    "AIFF": walk_aiff,
    "CAF": walk_caf,
    "AU": walk_au,
    "NIST": walk_nist,
    "MP4": walk_mp4,
    "MATROSKA": walk_matroska,
    "ASF": walk_asf,
    "AMR": walk_amr,
    "WAVPACK": walk_wavpack,
}


def survey(data: FileBytes) -> Iterator[Part]:
    """The recordings in a file, in their order. Raises AudioError for what is neither audio nor a known tag."""
    if data.name.lower().endswith(".g722"):
        yield Part("G722", ((0, data.size),), data.size, "g722", G722_SAMPLES_PER_BYTE * data.size)
        return
    at, number = 0, 0
    while at < data.size:
        walk = _walker(data, at)
        if walk is None:
            behind = skip_tags(data, at)
            if behind >= data.size and number:
                return
            walk = _walker(data, behind)
            if walk is None:
                raise _unknown(data, behind if number else 0, is_first=not number)
            at = behind
        part = walk(data, at)
        number += 1
        if part.end <= at or number > MAX_PARTS:
            raise refuse(Reason.AUDIO_CORRUPT, f"no recording can be read at byte {at}", data.name)
        at = part.end
        yield part


def _walker(data: FileBytes, at: int) -> Walker | None:
    mark = mark_of(data.read(at, 64))
    if mark in WALKERS:
        return WALKERS[mark]
    if mark in SNDFILE_MARKS or mark in FFMPEG_MARKS:
        return lambda found, start: _walk_rest(found, start, mark)
    if is_mpeg(data, at):
        return walk_mpeg
    return walk_adts if is_mpeg(data, at, parse_adts) else None


def _walk_rest(data: FileBytes, start: int, mark: str) -> Part:
    """A recording of a rare format: everything up to the end of the file is its own."""
    return Part(mark, ((start, data.size),), data.size, "soundfile" if mark in SNDFILE_MARKS else "av")


def _unknown(data: FileBytes, at: int, *, is_first: bool) -> Exception:
    if is_first:
        kind = "text" if is_text(data.read(at, 64)) else "no format that is known here"
        return refuse(Reason.AUDIO_UNREADABLE, f"the content is {kind}", data.name)
    what = f"{data.size - at} bytes from byte {at} on are neither audio nor a known tag"
    return refuse(Reason.AUDIO_TRAILING, what, data.name)
