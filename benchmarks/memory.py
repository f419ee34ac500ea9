"""Memory: what autograd keeps between forward and backward, and the peak of a whole update.

Saved bytes are counted, not timed: each storage once, parameters not at all, but the copies of
them that autocast makes. They are per second of audio, of Base in training mode with dropout 0.1,
under bf16 autocast as in training on a GPU; a batch is as much audio at each length (30 s on a CPU,
180 s on a GPU), so that what does not grow with it weighs alike.
The peak on a CPU is the largest resident size of a whole process (fp32, second update, so that
Adam's moments are among it); on a GPU the largest size of what torch allocated.
The peer has our head: the cosine head's targets would be most of its bytes.
Each number has a process of its own: `python -m benchmarks.memory saved ours 30 cpu` prints bytes.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.harness import ROOT, Claim, Figure, find_missing, number
from benchmarks.peers import PeerStep, TransformersPretraining
from benchmarks.saved import count_saved_bytes
from benchmarks.workload import TRAIN, Crops, OurStep, crops, network
from wavlm.execution.processes import tie_to_parent
from wavlm.nn import WavLM

Case = tuple[str, str, int]  # what, whose, seconds of an utterance
PEER = "transformers WavLM + our head"
SECONDS = (5, 15, 30)
LONGEST = SECONDS[-1]
NEEDED_BYTES = 9e9  # of the peer at 30 s on a CPU
AUDIO_SECONDS = {"cpu": 30, "cuda": 180}  # of a batch
PER_SECOND = {seconds: Claim(f"memory.saved_per_second.{seconds}s", "MB per s of audio") for seconds in SECONDS}
LINEAR = Claim("memory.saved_30s_vs_5s", "x the bytes per s", cpu="<= 1.02", cuda="<= 1.02")
SAVED = Claim("memory.saved_vs_transformers.30s", "x the bytes", PEER, cpu="<= 0.45", cuda="<= 0.45")
PEAK = Claim("memory.peak_vs_transformers.30s", "x the bytes", PEER, cpu="<= 0.5")
ABOVE = Claim("memory.peak_above_start_vs_transformers.30s", "x the bytes", PEER)
CLAIMS = (*PER_SECOND.values(), LINEAR, SAVED, PEAK, ABOVE)


@dataclass(frozen=True)
class Peak:
    """Bytes of a process: before the measured update, and the most up to its end."""

    start: int  # weights, Adam's moments, libraries
    most: int


def main(device: str) -> Iterator[Figure]:
    reason = find_missing("wavlm.train.step")
    if reason is not None:
        yield from (claim.skip(device, reason) for claim in CLAIMS)
        return
    no_peer = find_missing("transformers") or _lack_of_memory(device)
    whose = ["ours"] if no_peer else ["theirs", "ours"]  # the longest first
    counts = [("saved", who, LONGEST) for who in whose]
    counts += [("saved", "ours", seconds) for seconds in SECONDS[:-1]]
    saved = {case[1:]: numbers[0] for case, numbers in _in_processes(counts, device).items()}
    per_second = {seconds: saved["ours", seconds] / AUDIO_SECONDS[device] for seconds in SECONDS}
    for seconds, claim in PER_SECOND.items():
        yield claim.figure(per_second[seconds] / 1e6, device)
    yield LINEAR.figure(per_second[LONGEST] / per_second[SECONDS[0]], device)
    if no_peer is not None:
        yield from (claim.skip(device, no_peer) for claim in (SAVED, PEAK, ABOVE))
        return
    theirs = saved["theirs", LONGEST]
    note = f"theirs {number(theirs / AUDIO_SECONDS[device] / 1e6)} MB per s"
    yield SAVED.figure(saved["ours", LONGEST] / theirs, device, note)
    peaks = _in_processes([("peak", who, LONGEST) for who in whose], device)
    mine, other = (Peak(*peaks["peak", who, LONGEST]) for who in ("ours", "theirs"))
    yield _ratio(PEAK, mine.most, other.most, device)
    yield _ratio(ABOVE, mine.most - mine.start, other.most - other.start, device)


def _in_processes(cases: Sequence[Case], device: str) -> dict[Case, list[int]]:
    """The numbers of each case; at most two processes at once, one where memory is short."""
    with ThreadPoolExecutor(max_workers=_num_at_once(device)) as pool:
        numbers = pool.map(partial(_in_process, device=device), cases)
        return dict(zip(cases, numbers, strict=True))


def _ratio(claim: Claim, ours: int, theirs: int, device: str) -> Figure:
    note = f"ours {number(ours / 1e6)} MB, theirs {number(theirs / 1e6)} MB"
    return claim.figure(ours / theirs, device, note)


def _in_process(case: Case, device: str) -> list[int]:
    command = [sys.executable, "-m", "benchmarks.memory", *map(str, case), device]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    numbers: list[int] = json.loads(done.stdout.splitlines()[-1])
    return numbers


def _measure(what: str, who: str, seconds: int, device: str) -> list[int]:
    """The child's part: one number of saved bytes, or the two of a peak."""
    tie_to_parent(signal.SIGKILL)
    torch.set_num_threads(1)
    batch = crops(AUDIO_SECONDS[device] // seconds, float(seconds), device)
    if who == "ours":
        model: nn.Module = network(device=device)
    else:
        model = TransformersPretraining(network(device=device), cosine=False)
    return [_count_saved(model, batch)] if what == "saved" else list(astuple(_peak(model, batch)))


def _count_saved(model: nn.Module, batch: Crops) -> int:
    from wavlm.train.masked_prediction import micro_batch_loss  # needs packages that the network does not

    def forward() -> Tensor:
        with torch.autocast(batch.waveforms.device.type, torch.bfloat16):
            if isinstance(model, TransformersPretraining):
                loss: Tensor = model(batch.waveforms, batch.labels, batch.mask)
                return loss
            return micro_batch_loss(model(batch), TRAIN)

    return count_saved_bytes(forward, model)


def _peak(model: nn.Module, batch: Crops) -> Peak:
    """Of the second update: the first one, on little audio, makes Adam's moments."""
    device = batch.waveforms.device.type
    is_cuda = device == "cuda"
    precision = "bf16" if is_cuda else "fp32"
    if isinstance(model, WavLM):
        step: OurStep | PeerStep = OurStep(model, precision, compiled=is_cuda)
    else:
        step = PeerStep(model, precision)
    # A compiler needs memory of its own; let it have that before.
    step.on(batch if is_cuda else crops(1, 1.0, device))()
    if is_cuda:
        torch.cuda.reset_peak_memory_stats()
        start = torch.cuda.memory_allocated()
        step.on(batch)()
        return Peak(start, torch.cuda.max_memory_allocated())
    start = _resident_bytes("VmRSS")
    step.on(batch)()
    return Peak(start, _resident_bytes("VmHWM"))


def _resident_bytes(what: str) -> int:
    """Not ru_maxrss: that of a child begins with what its parent had when it was started."""
    return _kilobytes(Path("/proc/self/status"), what)


def _kilobytes(path: Path, what: str) -> int:
    """Bytes of a line such as "VmRSS:  1234 kB"."""
    match = re.search(rf"^{what}:\s+(\d+) kB$", path.read_text(), re.MULTILINE)
    if match is None:
        raise ValueError(f"{path} has no {what} in kB")
    return 1024 * int(match[1])


def _lack_of_memory(device: str) -> str | None:
    available = _available_bytes()
    if device == "cuda" or available >= NEEDED_BYTES:
        return None
    return f"{available / 1e9:.1f} GB of memory are free, the peer needs {NEEDED_BYTES / 1e9:.0f}"


def _num_at_once(device: str) -> int:
    return 2 if device == "cpu" and _available_bytes() > 2 * NEEDED_BYTES else 1


def _available_bytes() -> int:
    return _kilobytes(Path("/proc/meminfo"), "MemAvailable")


if __name__ == "__main__":
    what, who, seconds, device = sys.argv[1:]
    print(json.dumps(_measure(what, who, int(seconds), device)))
