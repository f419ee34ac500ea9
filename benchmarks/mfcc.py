"""MFCC with deltas: ours against kaldi-native-fbank and torchaudio's Kaldi compliance, one core each.

On a GPU there is no peer: the figure is how much audio it does in batches.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from benchmarks.harness import Claim, Figure, compare, find_missing
from benchmarks.speech import utterances
from wavlm.features.mfcc import mfcc, mfcc_batch
from wavlm.specs import SAMPLE_RATE_HZ

Floats = npt.NDArray[np.float32]

CPU_SECONDS = 120.0
GPU_UTTERANCES, GPU_SECONDS = 64, 15

KNF = Claim("mfcc.knf", "x", "kaldi-native-fbank + deltas", cpu=">= 4", devices=("cpu",))
TORCHAUDIO = Claim("mfcc.torchaudio", "x", "torchaudio.compliance.kaldi + deltas", cpu=">= 1.4", devices=("cpu",))
DIFFERENCE = Claim("mfcc.difference", "", "kaldi-native-fbank", cpu="<= 0.003", devices=("cpu",))
RATE = Claim("mfcc.rate", "x real time")
CLAIMS = (KNF, TORCHAUDIO, DIFFERENCE, RATE)


def main(device: str) -> Iterator[Figure]:
    if device != "cpu":
        yield _on_gpu(device)
        return
    waveforms = utterances(CPU_SECONDS)
    seconds = sum(map(len, waveforms)) / SAMPLE_RATE_HZ
    peers = {}
    for claim, peer, module in (
        (KNF, _knf, "kaldi_native_fbank"),
        (TORCHAUDIO, _torchaudio, "torchaudio.compliance.kaldi"),
    ):
        if reason := find_missing(module):
            yield claim.skip(device, reason)
        else:
            peers[claim.peer] = peer
    functions = {"ours": mfcc, **peers}
    times = compare({name: _over(function, waveforms) for name, function in functions.items()})
    rates = {name: seconds / timing.median for name, timing in times.items()}
    note = ", ".join(f"{name} {rate:,.0f} x real time per core" for name, rate in rates.items())
    for claim in (KNF, TORCHAUDIO):
        if claim.peer in peers:
            yield claim.figure(rates["ours"] / rates[claim.peer], device, note)
    if KNF.peer in peers:
        yield _difference(waveforms, device)
    yield RATE.figure(rates["ours"], device, "one core, one utterance after the other")


def _over(function: Callable[[Floats], Floats], waveforms: Sequence[Floats]) -> Callable[[], None]:
    def run() -> None:
        for waveform in waveforms:
            function(waveform)

    return run


def _difference(waveforms: Sequence[Floats], device: str) -> Figure:
    """The largest difference of a cepstrum, and over what the cepstra spread."""
    pairs = [(mfcc(waveform)[:, :13], _knf(waveform)[:, :13]) for waveform in waveforms]
    worst = max(float(np.abs(ours - theirs).max()) for ours, theirs in pairs)
    values = np.concatenate([theirs for _, theirs in pairs])
    scale = float(np.ptp(values, axis=0).max())
    where = f"largest over {len(values)} frames, where the widest cepstrum spans {scale:.0f}"
    return DIFFERENCE.figure(worst, device, where)


def _on_gpu(device: str) -> Figure:
    rng = torch.Generator().manual_seed(0)
    shape = (GPU_UTTERANCES, GPU_SECONDS * SAMPLE_RATE_HZ)
    waveforms = (0.1 * torch.randn(shape, generator=rng)).to(device)
    num_samples = torch.full((GPU_UTTERANCES,), shape[1])
    timing = compare({"ours": lambda: mfcc_batch(waveforms, num_samples)}, device)["ours"]
    note = f"{GPU_UTTERANCES} x {GPU_SECONDS} s at once, already on the device"
    return RATE.figure(GPU_UTTERANCES * GPU_SECONDS / timing.median, device, note)


def _knf(waveform: Floats) -> Floats:
    """(N,) -> (F, 39)"""
    import kaldi_native_fbank as knf

    options = knf.MfccOptions()
    options.frame_opts.dither = 0
    options.frame_opts.snip_edges = True
    options.use_energy = False
    options.mel_opts.num_bins = 23
    options.mel_opts.low_freq = 20
    options.mel_opts.high_freq = 8000
    computer = knf.OnlineMfcc(options)
    computer.accept_waveform(SAMPLE_RATE_HZ, waveform)
    computer.input_finished()
    cepstra = np.stack([computer.get_frame(t) for t in range(computer.num_frames_ready)])
    slopes = _slopes(cepstra)
    return np.concatenate([cepstra, slopes, _slopes(slopes)], axis=1)


def _slopes(rows: Floats) -> Floats:
    """Regression slope over five frames, edges repeated: (F, D) -> (F, D)."""
    padded = np.pad(rows, ((2, 2), (0, 0)), "edge")
    slopes = (2 * (padded[4:] - padded[:-4]) + padded[3:-1] - padded[1:-3]) / 10
    return slopes.astype(np.float32)


def _torchaudio(waveform: Floats) -> Floats:
    """(N,) -> (F, 39), as fairseq's simple_kmeans/dump_mfcc_feature.py has it."""
    compliance = importlib.import_module("torchaudio.compliance.kaldi")
    deltas = importlib.import_module("torchaudio.functional").compute_deltas
    samples = torch.from_numpy(waveform)[None]
    with torch.inference_mode():
        cepstra: Tensor = compliance.mfcc(samples, sample_frequency=SAMPLE_RATE_HZ, use_energy=False).T
        slopes = deltas(cepstra)
        rows = torch.cat([cepstra, slopes, deltas(slopes)]).T
    stacked: Floats = rows.contiguous().numpy()
    return stacked
