"""Folders of systems with random weights on filter banks, as fine-tuning writes them; and recordings to diarize."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from pydantic import TypeAdapter

from wavlm.evaluation.examples import Example, Take
from wavlm.evaluation.tasks.choose import make_task
from wavlm.evaluation.tasks.task import Recalls, Size
from wavlm.features.fbank import FBANK_CHANNELS
from wavlm.finetune.data import hear
from wavlm.finetune.facts import HEAD_WEIGHTS_FILE, HeadFile, write_head
from wavlm.finetune.load import load_system
from wavlm.nn.files import save_tensors
from wavlm.specs import NetworkSpec
from wavlm.specs.evaluation import FbankBaseline, RandomBaseline
from wavlm.specs.heads import HeadSpec
from wavlm.specs.tasks import TaskSpec

RATE = 16000
HOP_SAMPLES = 160
VOICES = ("v0", "v1", "v2")
SMALL = {"channels": 16, "squeeze": 8, "pooled": 32, "attention": 8, "embedding": 16}


def write_system(
    folder: Path, task: dict[str, Any], head: dict[str, Any], learned: Any, network: NetworkSpec | None = None
) -> Path:
    """A system on filter banks, or on a network with random weights."""
    folder.mkdir(parents=True)
    channels, hop = (network.width, 320) if network else (FBANK_CHANNELS, HOP_SAMPLES)
    states = network.num_layers + 1 if network else 1
    about = HeadFile(
        name="made",
        task=TypeAdapter(TaskSpec).validate_python(task, strict=False),
        head=TypeAdapter(HeadSpec).validate_python(head, strict=False),
        learned=learned,
        baseline=RandomBaseline(type="random", network=network) if network else FbankBaseline(type="fbank"),
        num_states=states,
        num_channels=channels,
        hop_samples=hop,
    )
    recalled = make_task(about)
    assert isinstance(recalled, Recalls)
    torch.manual_seed(1)
    module = recalled.recall(learned).make_head(Size(states, channels, hop))
    save_tensors(dict(module.state_dict()), folder / HEAD_WEIGHTS_FILE, {})
    write_head(folder, about)
    return folder


def verifier(folder: Path) -> Path:
    """A narrow ECAPA-TDNN that has learned the three voices."""
    write_system(folder, {"type": "asv"}, {"type": "ecapa", **SMALL}, list(VOICES))
    loaded = load_system(folder, "cpu")
    head, rng = loaded.system.head.train(), np.random.default_rng(2)
    optimizer = torch.optim.Adam(head.parameters(), lr=3e-3)
    for _ in range(40):
        numbers = rng.integers(0, 3, 12).tolist()
        parts = [_part(number, rng) for number in numbers]
        examples = [Example("", VOICES[number], "", len(parts[0]), Take(0, 0), None) for number in numbers]
        optimizer.zero_grad()
        loaded.trainee.loss(head, loaded.system.batch(hear(parts, examples, loaded.frames))).backward()
        optimizer.step()
    save_tensors(dict(head.state_dict()), folder / HEAD_WEIGHTS_FILE, {})
    return folder


def _part(number: int, rng: np.random.Generator) -> np.ndarray:
    """1.5 s of a voice, perhaps from before it begins or to behind its end."""
    wave = np.pad(voice(number, 2.5), RATE // 2) + 1e-3 * rng.normal(size=round(3.5 * RATE))
    first = int(rng.integers(2 * RATE))
    return wave[first : first + 3 * RATE // 2].astype(np.float32)


def superb_diarizer(folder: Path) -> Path:
    return write_system(folder, {"type": "sd", "speakers": 2}, {"type": "diarizer", "hidden": 8}, None)


def end_to_end(folder: Path, head: str, network: NetworkSpec | None = None) -> Path:
    """A head of blocks that knows three speakers, with random weights."""
    encoder = {"width": 16, "layers": 1, "attention_heads": 2, "feed_forward": 32, "frame_ms": 100}
    return write_system(
        folder, {"type": "sd", "speakers": 3}, {"type": head, "encoder": encoder}, ["a", "b", "c"], network
    )


def voice(number: int, seconds: float) -> np.ndarray:
    """A buzz like a voice: pitch and colour of its own, in syllables."""
    times = np.arange(round(seconds * RATE)) / RATE
    pitch = 90 * 1.35**number
    buzz = sum(
        np.sin(2 * np.pi * pitch * k * times) * np.exp(-(((pitch * k - 400 * (number + 1)) / 900) ** 2))
        for k in range(1, int(7000 / pitch))
    )
    return 0.2 * buzz / np.abs(buzz).max() * (1 + 0.6 * np.sin(2 * np.pi * 4 * times)) / 1.6


def write_talk(
    path: Path, order: list[int], seconds: float = 4.0, pause: float = 0.8
) -> list[tuple[float, float, str]]:
    """One voice after another; returns the turns."""
    rng = np.random.default_rng(len(order))
    parts, turns, at = [np.zeros(RATE)], [], 1.0
    for number in order:
        parts += [voice(number, seconds), np.zeros(round(pause * RATE))]
        turns.append((at, at + seconds, f"v{number}"))
        at += seconds + pause
    wave = np.concatenate(parts)
    wave = wave + 1e-3 * rng.normal(size=len(wave))
    soundfile.write(path, wave.astype(np.float32), RATE, subtype="PCM_16")
    return turns
