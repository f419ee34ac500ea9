"""A tar of speech that a synthesiser made: recordings, and `targets.tsv` with what is said in each.

It lies among the downloads under its digest, as archives of publishers do, and is unpacked as they are.
"""

from __future__ import annotations

import io
import multiprocessing
import os
import sys
import tarfile
import wave
from array import array
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from wavlm.corpus.download.pin import Pin, hold_archive_lock, is_present, require_room
from wavlm.corpus.download.transfer import RetryPolicy
from wavlm.corpus.made.espeak import Espeak
from wavlm.corpus.made.sentences import Speaking, list_recordings
from wavlm.errors import BadDataError, WorkerDiedError
from wavlm.execution.processes import die_with_parent
from wavlm.execution.progress import Progress
from wavlm.specs import MadeSource
from wavlm.storage.files import atomic_path, sha256_of

TARGETS = "targets.tsv"
COLUMNS = ("path", "part", "speaker", "text", "target")
BYTES_PER_RECORDING = 1 << 18  # about 6 s at 22,050 Hz: more than sentences take


def make_archive(source: MadeSource, into: Path, progress: Progress, *, hashes: bool = True) -> Path:
    """The tar `<sha256>.tar` in `into`, made unless it is already there.

    `hashes`: False if the caller compares the digest of one that is there while it reads it.
    Raises BadDataError (MADE_OTHERWISE) if this machine makes other bytes than the spec says, VOICE_UNKNOWN and
    AUDIO_EMPTY; ServiceMissingError (PACKAGE_MISSING), WorkerDiedError, LockedError or CannotWriteError.
    """
    pin = Pin.of(source)
    into.mkdir(parents=True, exist_ok=True)
    target = into / pin.name
    with hold_archive_lock(target, RetryPolicy().lock_seconds):
        if is_present(target, pin, hashes=hashes):
            return target
        count = sum(map(len, source.voices.values())) * source.per_voice
        require_room(into, count * BYTES_PER_RECORDING)
        progress(0, count)
        with atomic_path(target) as temporary:
            _run_alone(source, temporary)
            found = sha256_of(temporary)
            if found != source.sha256:
                raise BadDataError(
                    "MADE_OTHERWISE",
                    f"this machine makes speech with the sha256 {found}, expected {source.sha256}; in the source of "
                    "the corpus; if you changed the source, or the processor is of another kind, copy the corpus spec "
                    "and put the new digest there: it is another corpus then",
                )
        progress(count, count)
    return target


def _run_alone(source: MadeSource, path: Path) -> None:
    """Write the tar in a fresh process: the synthesiser has a state, and a crash of it is not ours."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, initializer=die_with_parent, initargs=(os.getpid(),)) as pool:
        try:
            pool.submit(write_archive, source, path).result()
        except BrokenProcessPool as error:
            raise WorkerDiedError(
                "WORKER_DIED",
                f"the process that ran espeak-ng was killed or crashed; making {path.name}; look at the memory of the "
                "machine, and run again",
            ) from error


def write_archive(source: MadeSource, path: Path) -> None:
    """Write the tar. The same bytes each time in a fresh process."""
    espeak = Espeak(source.version)
    spoken = list(list_recordings(source))
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for item in spoken:
            samples = espeak.speak(item.text, item.voice, item.manner)
            _add(tar, item.path, _to_wav(samples, espeak.sample_rate_hz))
        _add(tar, TARGETS, _to_table(spoken).encode())


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)  # its time, owner and mode are constants
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def _to_wav(samples: bytes, sample_rate_hz: int) -> bytes:
    numbers = array("h", samples)
    if sys.byteorder == "big":
        numbers.byteswap()
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(sample_rate_hz)
        out.writeframes(numbers.tobytes())
    return file.getvalue()


def _to_table(spoken: Iterable[Speaking]) -> str:
    rows = [COLUMNS, *((it.path, it.part, it.voice, it.text, it.target) for it in spoken)]
    return "".join("\t".join(row) + "\n" for row in rows)
