"""What the trainer says on its way out becomes an error that people act on."""

from pathlib import Path

import pytest

from tasks.pretrain import _train
from tests.train import fakes
from wavlm.errors import LockedError
from wavlm.storage.locks import hold_lock


@pytest.mark.slow
def test_a_trainer_that_finds_another_at_work_is_told_as_locked(tmp_path: Path) -> None:
    job = fakes.job(tmp_path / "out", processes=1)
    with hold_lock(job.out / ".train.lock", "the model"), pytest.raises(LockedError, match="wait"):
        _train(job, lambda _: None)
    assert not (job.out / "snapshots").exists()
