"""`wavlm features`: frames of a folder's audio as others read them, resumed, and never of two models in one folder."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
import torch

from tests.tiny_specs import tiny_network
from wavlm.errors import BadDataError, UsageError
from wavlm.evaluation import folder_features
from wavlm.evaluation.folder_features import write_folder_features
from wavlm.features.extract import extraction_plan
from wavlm.nn import WavLM, save_model


@pytest.fixture
def model(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    folder = tmp_path / "model"
    folder.mkdir()
    save_model(WavLM(tiny_network(), num_clusters=4), folder)
    return folder


def speak(path: Path, seconds: float, seed: int = 0) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    pcm = (3000 * np.random.default_rng(seed).standard_normal(round(16000 * seconds))).astype(np.int16)
    soundfile.write(path, pcm, 16000)
    return pcm


def read(out: Path) -> dict[str, np.ndarray]:
    rows = [row for path in sorted(out.glob("*.parquet")) for row in pq.read_table(path).to_pylist()]
    return {row["file"]: np.array(row["values"], np.float32).reshape(row["frames"], -1) for row in rows}


def test_the_frames_are_those_of_the_network_in_both_forms(model: Path, tmp_path: Path) -> None:
    pcm = speak(tmp_path / "audio/ann/one.wav", 0.5)
    for form in ("parquet", "npy"):
        write_folder_features(model, tmp_path / "audio", 1, tmp_path / form, form)  # type: ignore[arg-type]
    import wavlm

    waveform = torch.from_numpy(pcm.astype(np.float32) / 32768)
    with torch.inference_mode():
        expected = wavlm.load(model).hidden_states(waveform)[1].numpy()
    assert np.array_equal(np.load(tmp_path / "npy/ann/one.wav.npy"), expected)
    assert np.array_equal(read(tmp_path / "parquet")["ann/one.wav"], expected)
    about = json.loads((tmp_path / "parquet/features.json").read_text())
    assert (about["first_frame_seconds"], about["frame_seconds"], about["layer"]) == (0.0125, 0.02, 1)


@pytest.mark.parametrize("form", ["parquet", "npy"])
def test_what_is_there_is_left_alone_and_new_files_are_added(model: Path, tmp_path: Path, form: str) -> None:
    audio, out = tmp_path / "audio", tmp_path / "out"
    speak(audio / "one.wav", 0.3)
    first = write_folder_features(model, audio, 2, out, form)  # type: ignore[arg-type]
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    speak(audio / "two.wav", 0.3, seed=1)
    second = write_folder_features(model, audio, 2, out, form)  # type: ignore[arg-type]
    assert [(it.made, it.there) for it in (first, second)] == [(1, 0), (1, 1)]
    assert all(path.stat().st_mtime_ns == moment for path, moment in before.items())
    names = set(read(out)) if form == "parquet" else {path.name.removesuffix(".npy") for path in out.glob("*.npy")}
    assert names == {"one.wav", "two.wav"}


def test_a_folder_of_another_layer_is_refused(model: Path, tmp_path: Path) -> None:
    speak(tmp_path / "audio/one.wav", 0.3)
    write_folder_features(model, tmp_path / "audio", 1, tmp_path / "out")
    with pytest.raises(UsageError, match="layer is 1"):
        write_folder_features(model, tmp_path / "audio", 2, tmp_path / "out")
    with pytest.raises(UsageError, match="LAYER_MISSING"):
        write_folder_features(model, tmp_path / "audio", 99, tmp_path / "other")


@pytest.mark.parametrize("form", ["parquet", "npy"])
def test_files_of_the_same_names_elsewhere_or_of_another_time_are_not_taken_for_those_that_are_there(
    model: Path, tmp_path: Path, form: str
) -> None:
    speak(tmp_path / "audio/one.wav", 0.3)
    speak(tmp_path / "other/one.wav", 0.3, seed=1)
    made = write_folder_features(model, tmp_path / "audio", 1, tmp_path / "out", form)  # type: ignore[arg-type]
    assert made.made == 1
    with pytest.raises(UsageError, match=f"OUT_EXISTS: .*audio is {tmp_path}/audio; .*correct `audio`"):
        write_folder_features(model, tmp_path / "other", 1, tmp_path / "out", form)  # type: ignore[arg-type]
    os.utime(tmp_path / "other/one.wav", ns=(1, 1))  # a copy that keeps an old time
    (tmp_path / "other/one.wav").replace(tmp_path / "audio/one.wav")
    with pytest.raises(UsageError, match=r"OUT_EXISTS: 1 audio files were written after .* such as one.wav"):
        write_folder_features(model, tmp_path / "audio", 1, tmp_path / "out", form)  # type: ignore[arg-type]


def test_a_file_that_cannot_be_used_is_named_and_the_others_are_written(model: Path, tmp_path: Path) -> None:
    speak(tmp_path / "audio/good.wav", 0.3)
    speak(tmp_path / "audio/short.wav", 0.01)
    (tmp_path / "audio/broken.wav").write_bytes(b"no sound")
    found = write_folder_features(model, tmp_path / "audio", 1, tmp_path / "out")
    assert sorted(error.code for error in found.refused) == ["AUDIO_UNREADABLE", "TOO_SHORT"]
    assert list(read(tmp_path / "out")) == ["good.wav"]


def test_a_folder_without_audio_is_refused_before_the_model_is_read(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadDataError, match="CORPUS_EMPTY"):
        write_folder_features(tmp_path / "no-model", tmp_path / "empty", 1, tmp_path / "out")


@pytest.mark.full
def test_several_workers_write_what_one_does(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_features, "PART_BYTES", 20_000)
    audio = tmp_path / "audio"
    for seed in range(4):
        speak(audio / f"{seed}.wav", 0.4 + 0.1 * seed, seed)
    (audio / "1.wav").write_bytes(b"no audio")
    found = {}
    for processes in (1, 2):
        plan = extraction_plan(processes, gpus=0, is_elsewhere=True)
        made = write_folder_features(model, audio, 1, tmp_path / str(processes), plan=plan)
        assert (made.made, [error.code for error in made.refused]) == (3, ["AUDIO_UNREADABLE"])
        found[processes] = read(tmp_path / str(processes))
    assert sorted(found[1]) == ["0.wav", "2.wav", "3.wav"]
    assert all(np.array_equal(found[1][name], found[2][name]) for name in found[1])
