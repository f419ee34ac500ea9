"""Where the audio of an uncompressed file ends: by its header, by what follows, or by the end of the file."""

from __future__ import annotations

from collections.abc import Callable

from wavlm.corpus.audio.file_bytes import FileBytes
from wavlm.corpus.audio.part import Extent, truncation
from wavlm.corpus.audio.reason import Reason, refuse
from wavlm.corpus.audio.tags import before_tags, is_clean, is_text, next_file


def settle_extent(
    data: FileBytes,
    start: int,
    announced: int | None,
    chain_end: Callable[[int], int | None] = lambda _: None,
    alignment: int = 1,
) -> Extent:
    """The audio that starts here, given the bytes that its header announces; None if the header does not know.

    `chain_end` says where chunks end that start at a position; None if there are none.
    Raises AudioError if the header announces more than the file has, and if text follows the audio.
    """
    if announced is None:
        end = next_file(data, start)
        return Extent(start, max(start, before_tags(data, end)), end)
    end = start + announced
    if end > data.size:
        raise truncation(f"the audio ends at byte {end} by its header", data)
    for behind in sorted({end + -announced % alignment, end}, reverse=True):
        if behind >= data.size:
            return Extent(start, end, data.size)
        if (following := _known_end(data, behind, chain_end)) is not None:
            return Extent(start, end, following)
    if is_text(data.read(end, 4096)):
        raise refuse(Reason.AUDIO_TRAILING, f"text of {data.size - end} bytes follows the audio", data.name)
    stop = next_file(data, end)
    return Extent(start, max(start, before_tags(data, stop)), stop, announced)


def _known_end(data: FileBytes, at: int, chain_end: Callable[[int], int | None]) -> int | None:
    """Where the recording ends if chunks, a tag, zeros up to the end or another file follow; None for other bytes."""
    following = chain_end(at)
    if following is not None:
        return following
    return at if is_clean(data, at) else None
