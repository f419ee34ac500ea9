"""A flow that lasts as long as a test wants."""

import time
from pathlib import Path

from prefect import flow

from tasks.orchestration.alive import answer_when_lost


@flow
def sleepy(until: str) -> None:
    """End when the file `until` is there."""
    with answer_when_lost():
        while not Path(until).exists():
            time.sleep(0.2)
