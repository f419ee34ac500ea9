"""What the layouts of publishers' lists share: the list has to be there, and audio that is not there is counted."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath

from wavlm.corpus.layouts.join import Tally
from wavlm.corpus.layouts.manifests import check_listed
from wavlm.corpus.layouts.recording import Recording
from wavlm.corpus.layouts.tree import Tree
from wavlm.errors import BadDataError
from wavlm.storage.encoding import printable

FETCH = "fetch what is missing, as the publisher's page says"


class Lost:
    """Counts the recordings whose file is missing or has 0 bytes."""

    def __init__(self, tree: Tree, tally: Tally) -> None:
        self._tree, self._tally = tree, tally
        self._is_there: dict[PurePosixPath, bool] = {}

    def keep(self, path: PurePosixPath, line: int, count: int = 1) -> bool:
        """Whether a file that `count` recordings name can be used."""
        if path not in self._is_there:
            self._is_there[path] = self._tree.spelled(str(path)) is not None and self._tree.num_bytes(path) > 0
        for _ in range(count):
            self._tally.add("path" if self._is_there[path] else "left over", str(path), line)
        return self._is_there[path]

    def check(self, max_left_over: float) -> None:
        """Add the account to the tree. Raises BadDataError (TABLE_JOIN) if more are lost than the bound allows."""
        account = self._tally.account(0)
        self._tree.tables.append(check_listed(self._tree.root / account.table, account, max_left_over, FETCH))


def find_list(tree: Tree, *names: str) -> PurePosixPath:
    """A list of the publisher, by the names of its folders and its own. Raises BadDataError (LAYOUT)."""
    path = PurePosixPath(*names)
    if (found := tree.spelled(str(path))) is None:
        raise BadDataError(
            "LAYOUT",
            f"no file {printable(str(path))}, which lists the recordings; in {printable(str(tree.root))}; fetch it, or "
            "correct root of the layout in the corpus spec",
        )
    return found


def in_order(recordings: Iterable[Recording]) -> list[Recording]:
    """Recordings in the order of path and time."""
    return sorted(recordings, key=lambda item: (str(item.path), item.start_s or 0.0, item.end_s or 0.0, item.key))
