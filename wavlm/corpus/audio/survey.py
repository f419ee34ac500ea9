"""Take a file apart: the recordings in it, by their containers, so that each byte is audio, container or tag."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from wavlm.corpus.audio.au_nist import walk_au, walk_nist
from wavlm.corpus.audio.boxes import walk_amr, walk_asf, walk_matroska, walk_mp4, walk_wavpack
from wavlm.corpus.audio.file_bytes import FileBytes
from wavlm.corpus.audio.flac import walk_flac
from wavlm.corpus.audio.formats import HEAD_BYTES, mark_of
from wavlm.corpus.audio.iff import walk_aiff, walk_caf
from wavlm.corpus.audio.mpeg import find_mpeg, is_mpeg, parse_adts, walk_ac3, walk_adts, walk_mpeg
from wavlm.corpus.audio.ogg import walk_ogg
from wavlm.corpus.audio.part import Part, Walker
from wavlm.corpus.audio.rare import walk_avr, walk_flv, walk_form, walk_headed, walk_other, walk_tta, walk_voc, walk_wve
from wavlm.corpus.audio.reason import Note, NoteCode, Reason, refuse
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
    "AVR": walk_avr,
    "VOC": walk_voc,
    "WVE": walk_wve,
    "TTA": walk_tta,
    "FLV": walk_flv,
    "AC3": walk_ac3,
    "SVX": partial(walk_form, name="SVX", order=">", decoder="soundfile"),
    "AVI": partial(walk_form, name="AVI", order="<", decoder="av"),
    **{name: partial(walk_headed, name=name) for name in ("PAF", "PVF", "IRCAM")},
}


def survey(data: FileBytes, opens: Callable[[Part], bool]) -> Iterator[Part]:
    """The recordings in a file, in their order. Raises AudioError for what is neither audio nor a known tag.

    `opens` says whether a decoder opens a file that has no mark that is known here.
    """
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
            at, walk = behind, _walker(data, behind)
        if walk is None:
            if number:
                what = f"{data.size - at} bytes from byte {at} on are neither audio nor a known tag"
                raise refuse(Reason.AUDIO_TRAILING, what, data.name)
            part = _walk_other(data, opens)
            yield part
            at, number = part.end, number + 1
            continue
        part = walk(data, at)
        number += 1
        if part.end <= at or number > MAX_PARTS:
            raise refuse(Reason.AUDIO_CORRUPT, f"no recording can be read at byte {at}", data.name)
        at = part.end
        yield part


def _walker(data: FileBytes, at: int) -> Walker | None:
    mark = mark_of(data.read(at, HEAD_BYTES))
    if mark is not None:
        return WALKERS[mark]
    if is_mpeg(data, at):
        return walk_mpeg
    return walk_adts if is_mpeg(data, at, parse_adts) else None


def _walk_other(data: FileBytes, opens: Callable[[Part], bool]) -> Part:
    if is_text(data.read(0, HEAD_BYTES)):
        raise refuse(Reason.AUDIO_UNREADABLE, "the content is text", data.name)
    start = skip_tags(data, 0)
    if (found := find_mpeg(data, start)) is not None:
        part = walk_mpeg(data, found)
        note = Note(
            NoteCode.BYTES_SKIPPED, f"{found - start} bytes stand before the first frame: they are a part of one"
        )
        return replace(part, notes=(*part.notes, note))
    return walk_other(data, 0, opens)
