"""Containers of a folder that hold audio: Parquet and Arrow files of `datasets`, and tars of WebDataset.

They are unpacked once into the corpus, each to a folder of its name, because decoders read files. So the audio is on
the disk twice; where the recipe does not keep the corpus' audio, house-keeping deletes the second one after packing.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from wavlm.corpus.contents import FolderContents
from wavlm.corpus.download.pin import require_room
from wavlm.corpus.facts import ArchiveReceipt
from wavlm.corpus.layouts import CONTAINERS, FilesAccount, containers_of
from wavlm.corpus.layouts.account import add_accounts, left_out
from wavlm.corpus.layouts.tree import Tree
from wavlm.corpus.unpack import Limits, UnpackedFiles, below, explain_damage, tar_members, write_members
from wavlm.corpus.unpack.members import Member
from wavlm.corpus.unpacked import Unpacked, read_unpacked, refuse_strays, write_unpacked
from wavlm.execution.progress import Progress
from wavlm.specs import Layout
from wavlm.storage.encoding import printable
from wavlm.storage.files import sync_disk

LIMITS = Limits()


def unpack_containers(
    layout: Layout, contents: FolderContents, audio: Path, receipts: Path, progress: Progress
) -> list[Unpacked]:
    """Unpack the containers of a folder below `audio`. What an earlier attempt unpacked whole stays.

    Raises BadDataError (LAYOUT, FILE_CHANGED, FILE_STRAY, and what unpacking raises).
    """
    paths = containers_of(layout, Tree(contents.root))
    sizes = [contents.states[str(path)].size for path in paths]
    unpacked: list[Unpacked] = []
    for index, path in enumerate(paths):
        unpacked.append(_unpack_once(layout, contents, path, audio, receipts))
        progress(sum(sizes[: index + 1]), max(sum(sizes), 1))
    refuse_strays(audio, unpacked)
    return unpacked


def account_containers(layout: Layout, root: Path, inside: FilesAccount) -> FilesAccount:
    """What became of the files of the folder, and of those in its containers (`inside`).

    Audio beside the containers is not read, so somebody may miss it: it is left out as `not-matched`.
    """
    tree = Tree(root)
    paths = containers_of(layout, tree)
    tree.leave(tree.audio("**/*"), "not-matched")
    found = tree.account(map(str, paths))
    containers = left_out("container", map(str, paths))
    around = found.model_copy(update={"used": 0, "left_out": (*found.left_out, containers)})
    return add_accounts(inside, around)


def _unpack_once(
    layout: Layout, contents: FolderContents, path: PurePosixPath, audio: Path, receipts: Path
) -> Unpacked:
    digest = contents.sha256_of(str(path))
    name = hashlib.sha256(f"{digest} {path}".encode("utf-8", "surrogateescape")).hexdigest()
    receipt = receipts / f"{name}.json"
    known = read_unpacked(receipt)
    if known and known.is_whole(audio, replaced=()):
        return known
    where = contents.root / path
    receipts.mkdir(parents=True, exist_ok=True)
    require_room(audio.parent, where.stat().st_size)
    found = open_container(layout, where, path, audio)
    contents.sha256_of(str(path))  # it is still what was hashed
    sync_disk(receipts)  # all files must be on the disk before the receipt
    made = Unpacked(
        receipt=ArchiveReceipt(
            name=printable(str(path)),
            sha256=digest,
            pinned_by="sha256",
            bytes=where.stat().st_size,
            files=len(found.files),
            skipped_links=0,
        ),
        files=dict(found.files),
    )
    write_unpacked(receipt, made)
    return made


def open_container(layout: Layout, where: Path, path: PurePosixPath, out: Path) -> UnpackedFiles:
    """Write what is in a container below `out`, in a folder of its name. Raises what unpacking raises."""
    unpack = CONTAINERS[type(layout)].unpack
    members: Iterator[Member]
    if unpack is not None:
        members = (_member(name, blob) for name, blob in unpack(layout, where))
    else:
        members = tar_members(where, "tar.gz" if path.suffix.lower() in (".gz", ".tgz") else "tar", LIMITS)
    with explain_damage(where):
        return write_members(below(path, members), out, LIMITS)


def _member(name: str, blob: bytes) -> Member:
    return Member(name, len(blob), io.BytesIO(blob).read)
