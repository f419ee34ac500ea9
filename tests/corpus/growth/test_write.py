"""Lists that are kept aside."""

from __future__ import annotations

from pathlib import Path

from wavlm.corpus.growth.generations import LIST
from wavlm.corpus.growth.write import _set_aside


def test_a_list_kept_aside_is_never_overwritten_also_if_an_earlier_one_was_removed(tmp_path: Path) -> None:
    (tmp_path / LIST).write_text("third")
    (tmp_path / "list.0002.json").write_text("second")  # the first was removed by somebody
    _set_aside(tmp_path)
    found = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert found == {LIST: "third", "list.0002.json": "second", "list.0003.json": "third"}
