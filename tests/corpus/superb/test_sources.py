"""Corpora of which a task makes speech: enhanced, separated or converted."""

from pathlib import Path

import pytest

from tests.corpus.layouts.trees import read, write
from tests.corpus.superb.speech import build, said, speak
from wavlm.corpus.targets import read_targets
from wavlm.errors import BadDataError

PAIRS = {"trainset_28spk": ("p226_001", "p228_001"), "testset": ("p232_001",)}


def voicebank(root: Path, ending: str = "") -> Path:
    for name, stems in PAIRS.items():
        speak(root, *(f"{kind}_{name}_wav{ending}/{stem}.wav" for kind in ("clean", "noisy") for stem in stems))
    return write(root, "trainset_28spk_txt/p228_001.txt", "Please call Stella.\n")


@pytest.mark.parametrize("ending", ["", "_16k"])
def test_a_noisy_recording_names_its_clean_one(tmp_path: Path, ending: str) -> None:
    out = build(voicebank(tmp_path / "raw", ending), tmp_path / "out", type="voicebank")
    assert {key: tuple(target) for key, target in read_targets(out)} == {
        "clean__p226_001": ("dev", {}),
        "clean__p228_001": ("train", {}),
        "clean__p232_001": ("test", {}),
        "noisy__p226_001": ("dev", {"clean": "clean__p226_001"}),
        "noisy__p228_001": ("train", {"clean": "clean__p228_001"}),
        "noisy__p232_001": ("test", {"clean": "clean__p232_001"}),
    }
    found = {item.key: (item.speaker, item.text) for item in read(tmp_path / "raw", type="voicebank")}
    assert found["noisy__p228_001"] == ("p228", "Please call Stella.")


def test_voicebank_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    voicebank(tmp_path)
    speak(tmp_path, "clean_testset_wav_16k/p232_001.wav")
    with pytest.raises(BadDataError, match="both with and without _16k in clean_testset_wav"):
        read(tmp_path, type="voicebank")
    (tmp_path / "clean_testset_wav_16k/p232_001.wav").unlink()
    speak(tmp_path, "noisy_testset_wav/p257_001.wav")
    with pytest.raises(BadDataError, match="1 recordings of testset are only clean or only noisy, such as p257_001"):
        read(tmp_path, type="voicebank")
    (tmp_path / "noisy_testset_wav/p257_001.wav").unlink()
    (tmp_path / "noisy_testset_wav/p232_001.wav").unlink()
    with pytest.raises(BadDataError, match="no recording in noisy_testset_wav"):
        read(tmp_path, type="voicebank")


MIX = "4077-13754-0001_5142-33396-0065"
RTTM = (
    "SPEAKER 13754-0001 1   0.190   2.970 <NA> <NA> 4077 <NA> <NA>\n"
    "SPEAKER 33396-0065 1   0.100   0.500 <NA> <NA> 5142 <NA> <NA>\n"
    "SPEAKER 33396-0065 1   1.000   0.500 <NA> <NA> 5142 <NA> <NA>\n"
)


def librimix(root: Path, mixture: str = "mix_clean") -> Path:
    base = "Libri2Mix/wav16k/min"
    speak(
        root,
        *(f"{base}/{part}/{kind}/{MIX}.wav" for part in ("dev", "test") for kind in (mixture, "s1", "s2", "noise")),
    )
    write(root, "metadata/test_clean.rttm", RTTM)
    header = "mixture_ID,mixture_path,source_1_path,source_2_path,length\n"
    return write(
        root, f"{base}/metadata/mixture_test_{mixture}.csv", f"{header}{MIX},/x/a.wav,/x/b.wav,/x/c.wav,6400\n"
    )


def test_a_mixture_names_its_sources(tmp_path: Path) -> None:
    out = build(librimix(tmp_path / "raw"), tmp_path / "out", type="librimix")
    targets = {key: tuple(target) for key, target in read_targets(out)}
    assert targets[f"test__mix_clean__{MIX}"] == ("test", {"sources": [f"test__s1__{MIX}", f"test__s2__{MIX}"]})
    assert targets[f"dev__s2__{MIX}"] == ("dev", {})
    assert len(targets) == 6


def test_a_mixture_has_the_turns_of_its_sources(tmp_path: Path) -> None:
    librimix(tmp_path, "mix_both")
    found = said(read(tmp_path, type="librimix", mixture="mix_both", rttm=["metadata/*.rttm"]))
    assert found[f"test__mix_both__{MIX}"] == (
        "test",
        "unknown",
        {
            "sources": [f"test__s1__{MIX}", f"test__s2__{MIX}"],
            "turns": [[0.1, 0.6, "5142"], [0.19, 3.16, "4077"], [1.0, 1.5, "5142"]],
        },
    )
    assert found[f"test__s1__{MIX}"][:2] == ("test", "4077")


def test_librimix_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    librimix(tmp_path)
    layout = {"type": "librimix"}
    write(tmp_path, "metadata/test_clean.rttm", RTTM.splitlines()[0])
    with pytest.raises(BadDataError, match="no RTTM file names 33396-0065, a source of"):
        read(tmp_path, **layout, rttm=["metadata/*.rttm"])
    base = tmp_path / "Libri2Mix/wav16k/min"
    write(base, "metadata/mixture_test_mix_clean.csv", "mixture_ID,length\n1-2-3_4-5-6,1\n")
    with pytest.raises(
        BadDataError, match=r"2 mixtures are only in the list or only in the folder.*test_mix_clean\.csv"
    ):
        read(tmp_path, **layout)
    (base / "metadata/mixture_test_mix_clean.csv").unlink()
    (base / f"test/s2/{MIX}.wav").unlink()
    with pytest.raises(BadDataError, match=f"has no source Libri2Mix/wav16k/min/test/s2/{MIX}"):
        read(tmp_path, **layout)
    with pytest.raises(BadDataError, match="no recording <part>/mix_both"):
        read(tmp_path, **layout, mixture="mix_both")


def test_sentences_of_the_voice_conversion_challenge_are_what_superb_does_with_them(tmp_path: Path) -> None:
    speak(
        tmp_path,
        "source/SEF1/E10001.wav",
        "vcc2020_database_evaluation/SEF1/E30001.wav",
        "target_task1/TEF1/E10061.wav",
        "target_task1/TEF1/E20001.wav",
        "vcc2020_database_groundtruth/TEF1/E30001.wav",
        "target_task2/TGM1/G10001.wav",
    )
    texts = "vcc2020_database_transcriptions/transcriptions"
    write(tmp_path, f"{texts}_evaluation/vcc2020_database_evaluation_transcriptions.txt", "30001 In reality.\n")
    write(tmp_path, f"{texts}_training/vcc2020_database_training_Ger_transcriptions.txt", "10001 Die Berichte.\n")
    found = read(tmp_path, type="vcc2020")
    assert {item.key: (item.part, item.language, item.text, item.target) for item in found} == {
        "SEF1_E10001": ("reference", "en", None, '{"sentence":"E10001"}'),
        "SEF1_E30001": ("test", "en", "In reality.", '{"sentence":"E30001"}'),
        "TEF1_E10061": ("dev", "en", None, '{"sentence":"E10061"}'),
        "TEF1_E20001": ("train", "en", None, '{"sentence":"E20001"}'),
        "TEF1_E30001": ("reference", "en", "In reality.", '{"sentence":"E30001"}'),
        "TGM1_G10001": ("train", "de", "Die Berichte.", '{"sentence":"G10001"}'),
    }


def test_the_voice_conversion_challenge_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    speak(tmp_path, "source/SEF1/E10001.wav")
    write(tmp_path, "a_training_Eng_transcriptions.txt", "10001 One.\nno number\n")
    with pytest.raises(BadDataError, match=r"found no number; in .*Eng_transcriptions\.txt, line 2"):
        read(tmp_path, type="vcc2020")
    write(tmp_path, "a_training_Eng_transcriptions.txt", "10001 One.\n")
    write(tmp_path, "my_transcriptions.txt", "10001 One.\n")
    with pytest.raises(BadDataError, match=r"its name tells no language; in .*my_transcriptions\.txt"):
        read(tmp_path, type="vcc2020")
    (tmp_path / "my_transcriptions.txt").unlink()
    speak(tmp_path, "source/SEF1/first.wav")
    with pytest.raises(BadDataError, match=r"found first\.wav of SEF1"):
        read(tmp_path, type="vcc2020")
