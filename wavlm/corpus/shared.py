"""What one of several processes has gathered of a corpus, so that the others only look at their share of the files.

`.gathered.partial`, in the folder that all of them work in. It is written behind the list of recordings. The stage that
seals reads no word of it: it gathers itself, and keeps the parts that fit.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from wavlm.corpus.listing import LISTING
from wavlm.corpus.measure import Roots
from wavlm.storage.digested import read_digested, write_digested
from wavlm.storage.facts import Facts
from wavlm.storage.files import sha256_of

GATHERED = ".gathered.partial"


class GatheredFacts(Facts):
    """Where the files of a corpus are, and which list of recordings is meant."""

    files: str
    archives: str | None
    shown: str
    listing_sha256: str
    num_parts: int  # 0: of a later generation, whose stage compares with the one before, and has none

    def roots(self, stall_seconds: float) -> Roots:
        archives = None if self.archives is None else Path(self.archives)
        return Roots(Path(self.files), archives, PurePosixPath(self.shown), stall_seconds)


def note_gathered(out: Path, roots: Roots, num_parts: int) -> GatheredFacts:
    """Say that the files are there, and their list."""
    found = GatheredFacts(
        files=str(roots.files),
        archives=None if roots.archives is None else str(roots.archives),
        shown=str(roots.shown),
        listing_sha256=sha256_of(out / LISTING),
        num_parts=num_parts,
    )
    write_digested(out / GATHERED, found.model_dump(mode="json"))
    return found


def find_gathered(out: Path) -> GatheredFacts | None:
    """What another process has gathered; None if it has not ended, or if its list is another one by now."""
    try:
        found = read_digested(out / GATHERED)
        gathered = GatheredFacts.model_validate(found.content)
        is_same = found.has_digest and sha256_of(out / LISTING) == gathered.listing_sha256
    except (FileNotFoundError, ValueError):
        return None
    return gathered if is_same else None
