"""After which ends a training goes on by itself, and how often."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from wavlm.execution import launch
from wavlm.execution.exit_note import ExitNote
from wavlm.execution.runtime import Runtime

DONE = ExitNote(exit_code=0, message="")
KILLED = ExitNote(exit_code=137, message="")
LOST = ExitNote(exit_code=75, message="RANK_LOST: rank 3 is gone; at it; run again")
HUNG = ExitNote(exit_code=75, message="HUNG: rank 1 did not end; at it; run again")
STOPPED = ExitNote(exit_code=75, message="STOPPED: on request; at it; run again")
ALONE = ExitNote(exit_code=69, message="NODES_MISSING: 1 of 2 ranks came; at it; start the others")
BAD = ExitNote(exit_code=65, message="SHARD_DAMAGED: a shard; at it; make it again")


@pytest.mark.parametrize(
    ("restarts", "ends", "last"),
    [
        (0, [LOST], LOST),
        (2, [DONE], DONE),
        (2, [LOST, KILLED, DONE], DONE),
        (2, [LOST, HUNG, LOST], LOST),
        (2, [STOPPED], STOPPED),
        (2, [BAD], BAD),
        (2, [ALONE], ALONE),  # nobody ever came: most often a mistake, of which people are to hear
        (3, [LOST, ALONE, ALONE, DONE], DONE),  # one was there and is lost: another one may still come
        (3, [LOST, BAD], BAD),
    ],
)
def test_what_may_pass_is_tried_again_from_the_last_checkpoint(
    restarts: int, ends: list[ExitNote], last: ExitNote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = list(ends)
    monkeypatch.setattr(launch, "read_place", lambda _: SimpleNamespace(out=tmp_path))
    monkeypatch.setattr(launch, "_run_once", lambda *_: left.pop(0))
    assert launch.run_trainer(tmp_path / "job.json", Runtime(restarts=restarts), lambda _: None) == last
    assert left == []
