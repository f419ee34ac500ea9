"""What belongs to the process: a missing device is named at once, a hang does not look busy."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from wavlm.engine.ranks import Ranks, join_ranks
from wavlm.errors import ServiceMissingError
from wavlm.execution.runtime import Runtime
from wavlm.execution.stop import StopRequest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_missing_gpu_is_named_before_anything_else() -> None:
    with (
        pytest.raises(ServiceMissingError, match=r"DEVICE_MISSING.*gpus is 2"),
        join_ranks(Runtime(gpus=2)),
    ):
        pass


def test_a_gpu_is_set_up_for_the_same_bits_in_every_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a GPU too: what would be told to CUDA is noted, and the switches are put back."""
    chosen: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setenv("LOCAL_RANK", "1")
    switches = (
        (torch.backends.cudnn, "deterministic", True),
        (torch.backends.cudnn, "allow_tf32", False),
        (torch.backends.cuda.matmul, "allow_bf16_reduced_precision_reduction", False),
        (torch.backends.cuda.matmul, "allow_fp16_reduced_precision_reduction", False),
    )
    before = [(place, name, getattr(place, name)) for place, name, _ in switches]
    threads = torch.get_num_threads()
    try:
        for place, name, wanted in switches:
            setattr(place, name, not wanted)
        with join_ranks(Runtime(gpus=2)) as ranks:
            assert ranks.device == torch.device("cuda", 1)
            assert chosen == [torch.device("cuda", 1)]
            assert [getattr(place, name) for place, name, _ in switches] == [wanted for *_, wanted in switches]
    finally:
        torch.set_num_threads(threads)
        for place, name, value in before:
            setattr(place, name, value)


def test_a_worker_of_torchrun_ends_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    tied: list[int] = []
    monkeypatch.setattr("wavlm.engine.ranks.tie_to_parent", tied.append)
    threads = torch.get_num_threads()
    for run_id in (None, "7"):
        if run_id:
            monkeypatch.setenv("TORCHELASTIC_RUN_ID", run_id)
        with join_ranks(Runtime(threads=1)):
            pass
    torch.set_num_threads(threads)
    assert tied == [signal.SIGKILL]


def test_one_process_is_alone_and_has_the_threads_it_was_given() -> None:
    before = torch.get_num_threads()
    with join_ranks(Runtime(threads=2)) as ranks:
        assert torch.get_num_threads() == 2
        assert ranks == Ranks(0, 1, torch.device("cpu"))
        assert ranks.leads
        assert ranks.gather("me") == ["me"]
        assert ranks.any(flag=True)
        assert not ranks.any(flag=False)
    torch.set_num_threads(before)


def test_stop_request_is_noted_and_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with StopRequest() as stop:
        assert not stop.requested
        signal.raise_signal(signal.SIGTERM)
        assert stop.requested
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.slow
def test_process_that_hangs_says_where_and_ends() -> None:
    program = (
        "import time\n"
        "from wavlm.engine import interrupts\n"
        "interrupts.STEP_TIMEOUT_S = 0.5\n"
        "def stuck():\n"
        "    time.sleep(100_000)\n"
        "with interrupts.watchdog() as watchdog:\n"
        "    watchdog.feed()\n"
        "    stuck()\n"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 75
    assert "in stuck" in done.stderr
