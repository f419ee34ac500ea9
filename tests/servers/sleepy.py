"""A flow that lasts as long as a test wants."""

import time
from pathlib import Path

from prefect import flow

from tasks.orchestration.alive import answer_when_lost


@flow
@answer_when_lost
def sleepy(until: str) -> None:
    """End when the file `until` is there."""
    while not Path(until).exists():
        time.sleep(0.2)
