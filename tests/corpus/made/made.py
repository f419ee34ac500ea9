"""A small source of made speech, and the digest of what it makes."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from wavlm.corpus.made.archive import write_archive
from wavlm.specs import MadeSource
from wavlm.storage.files import sha256_of

VERSION = "1.52.0"
FIELDS: dict[str, object] = {
    "type": "made",
    "version": VERSION,
    "sha256": "0" * 64,
    "voices": {"train": ("en-us+f3", "en+m1"), "test": ("en-gb-scotland+m2",)},  # f3 breathes, by random numbers
    "values": {"room": ("kitchen", "garden"), "time": ("at seven",)},
    "fillers": {"please": ("", "please")},
    "sentences": (
        {"text": "{please} light in the {room} {time}", "intent": {"action": "on", "place": "{room}"}},
        {"text": "all dark", "intent": {"action": "off", "place": "none"}},
    ),
    "per_voice": 4,
}


def source(**fields: object) -> MadeSource:
    return MadeSource.model_validate({**FIELDS, **fields})


def make_alone(made: MadeSource, path: Path) -> str:
    """Write the tar in a fresh process, without what this machine keeps; its digest."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        pool.submit(write_archive, made, path).result()
    return sha256_of(path)
