"""Long recordings and decoders that hang (Z).

Reported: 2 h 01 min were refused, and below that a minute of 48 kHz stereo took 68 MB of memory. A pipe, a mount that
does not answer or a decoder that hangs stopped the stage for ever; one that crashes ended it.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr

from tests.field.speech import ALL_BAD, SPEC, encode, pack, speech
from tests.kill import output_of
from tests.shards.corpora import Clip, bytes_of, noise_clip, write_corpus
from wavlm.errors import BadDataError, ServiceMissingError
from wavlm.shards import waveform
from wavlm.shards.recordings import Intake
from wavlm.shards.waveform import Block, Ending

READ = waveform.read_waveform


@pytest.mark.parametrize("rate_hz", [8000, 11025, 44100, 48000])
def test_blocks_give_the_samples_of_one_call_for_the_whole_recording(tmp_path: Path, rate_hz: int) -> None:
    rng = np.random.default_rng(1)
    samples = rng.uniform(-0.9, 0.9, (rate_hz * 23 + 7, 2)).astype(np.float32)
    packed = pack(tmp_path, [Clip("a", encode(samples, rate_hz, subtype="FLOAT"))], SPEC.model_copy(update=WHOLE))
    (utterance,) = packed.utterances.values()
    whole = soxr.resample(samples.mean(axis=1), rate_hz, 16000, quality="HQ")
    expected = np.rint(whole * 32768).clip(-32768, 32767) / 32768
    np.testing.assert_array_equal(utterance.waveform, expected.astype(np.float32))
    assert packed.facts.samples == len(whole)


WHOLE = {"max_seconds": 100.0, "shard_megabytes": 10.0}


def test_a_recording_that_is_spooled_to_the_disk_gives_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = [Clip("long", encode(np.stack([speech(20.0), speech(20.0, 5.0)], axis=1)))]
    memory = pack(tmp_path / "memory", clips, intake=Intake("each", stall_seconds=0))
    monkeypatch.setattr("wavlm.shards.spool.MEMORY_BYTES", 1000)
    disk = pack(tmp_path / "disk", clips, intake=Intake("each", stall_seconds=0))
    assert len(memory.utterances) == 10
    assert bytes_of(disk.folder) == bytes_of(memory.folder)


def read_or_fail(path: Path, key: str, *wanted: Any, **how: Any) -> Iterator[Block | Ending | None]:
    """`read_waveform`, with decoders that fail on some keys."""
    if key.startswith("hang"):
        time.sleep(100_000)
    if key.startswith("crash"):
        os.kill(os.getpid(), signal.SIGSEGV)
    yield from READ(path, key, *wanted, **how)
    if key.startswith("late"):
        os.kill(os.getpid(), signal.SIGABRT)


@pytest.fixture
def _bad_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wavlm.shards.recordings.read_waveform", read_or_fail)


LIMIT_SECONDS = 20.0  # for a busy machine; a good file of a second takes a millisecond


@pytest.mark.slow
@pytest.mark.usefixtures("_bad_decoder")
def test_a_decoder_that_hangs_or_crashes_costs_its_file_alone(tmp_path: Path) -> None:
    clips = [noise_clip(key, 1.0) for key in ("a", "crash", "b", "hang", "c", "late", "d")]
    packed = pack(tmp_path, clips, ALL_BAD, Intake(stall_seconds=LIMIT_SECONDS))
    assert sorted(packed.utterances) == ["a", "b", "c", "d"]
    assert {reject.key: reject.detail.partition(";")[0] for reject in packed.rejects} == {
        "crash": "the decoder's process ended with SIGSEGV",
        "hang": "no data for 20 s",
        "late": "the decoder's process ended with SIGABRT",
    }
    assert packed.facts.rejected == {"DECODER_CRASHED": 2, "DECODER_STALLED": 1}
    assert packed.facts.unmeasured == 3


@pytest.mark.slow
@pytest.mark.usefixtures("_bad_decoder")
def test_files_that_all_hang_are_a_fault_of_the_storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wavlm.execution.fence.MAX_STALLS", 2)
    clips = [noise_clip("a", 1.0), *(noise_clip(f"hang{number}", 1.0) for number in range(4))]
    with pytest.raises(ServiceMissingError, match=r"STORAGE_STALLED: 2 files in a row .*then run again"):
        pack(tmp_path, clips, ALL_BAD, Intake(stall_seconds=2.0))


def test_a_pipe_in_the_place_of_a_recording_is_no_recording_and_nobody_waits_for_it(tmp_path: Path) -> None:
    clips = [noise_clip("a", 1.0)]
    pack(tmp_path, clips)
    path = tmp_path / "corpus" / "audio" / "a.wav"
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(BadDataError, match=r"FILE_CHANGED: .*recording a at .*a\.wav"):
        list(READ(path, "a", "0" * 64, "mean"))


def test_a_script_without_a_guard_is_not_run_again(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "print('started')\n"
        "from wavlm.execution.fence import open_fence\n"
        "import os\n"
        "with open_fence() as fence:\n"
        "    print(fence.call(os.getpid) != os.getpid())\n"
    )
    assert output_of(f"import subprocess, sys; subprocess.run([sys.executable, {str(script)!r}])").split() == [
        "started",
        "True",
    ]


MEMORY = """
import resource, sys
from pathlib import Path
from typing import Any
from tests.field.speech import SPEC
from wavlm.execution.progress import no_progress
from wavlm.shards import build_shards
from wavlm.shards.recordings import Intake
import webdataset, soxr, wavlm.corpus.audio.stream

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
spec = SPEC.model_copy(update={"max_seconds": 15.0})
build_shards(spec, Path(sys.argv[1]), Path(sys.argv[2]), 1, no_progress, Intake(stall_seconds=0))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.full
def test_memory_does_not_grow_with_the_length_of_a_recording(tmp_path: Path) -> None:
    """40 minutes of 48 kHz stereo are 920 MB as float32. All in one process, so that nothing is hidden in another."""
    path = tmp_path / "long.flac"
    rng = np.random.default_rng(0)
    with soundfile.SoundFile(path, "w", 48000, 2, subtype="PCM_16") as file:
        for _ in range(240):
            file.write(rng.uniform(-0.1, 0.1, (480_000, 2)))
    corpus = write_corpus(tmp_path / "corpus", [Clip("long", path.read_bytes(), ".flac")])
    grown_megabytes = int(output_of(MEMORY, corpus, tmp_path / "out"))
    assert grown_megabytes < 150
