"""How the trainer's process ends: with the code and the words of what stopped it."""

import errno
import os
from pathlib import Path

import pytest

from tests.train import fakes
from wavlm.execution.exit_note import read_exit_note
from wavlm.execution.stop import StopRequest
from wavlm.storage.files import write_json
from wavlm.train import __main__ as trainer


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [(errno.ENOENT, 65, "FILE_LOST"), (errno.EIO, 65, "DISK_ERROR"), (errno.EMFILE, 71, "NO_RESOURCES")],
)
def test_a_shard_that_goes_away_is_no_path_to_correct(
    number: int, code: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody gave a path to a training: exit code 2 would send its user to an option that is right."""
    write_json(tmp_path / "job.json", fakes.job(tmp_path).model_dump(mode="json"))

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number), "/shards/0.tar")

    monkeypatch.setattr(trainer, "_train", fail)
    assert trainer.main([str(tmp_path / "job.json")], StopRequest()) == code
    note = read_exit_note(tmp_path)
    assert note is not None
    assert note.exit_code == code
    assert note.message.startswith(f"{said}: {os.strerror(number).lower()}; at /shards/0.tar; ")
