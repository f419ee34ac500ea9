"""Small trees of real speech in the layouts of SUPERB's publishers, by the name of the corpus that they stand for."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import soundfile

from tests.corpus.layouts.trees import write
from tests.corpus.superb.speech import RATE_HZ, speak

SESSIONS = range(1, 6)  # of IEMOCAP


def speech_commands(root: Path) -> Path:
    main, test = "speech_commands_v0.01", "speech_commands_test_set_v0.01"
    heard = ("yes/a1_nohash_0", "yes/b2_nohash_0", "bed/c3_nohash_0", "bed/d4_nohash_0")
    speak(root, *(f"{main}/{name}.wav" for name in heard))
    speak(root, f"{main}/_background_noise_/tap.wav", seconds=10.0)
    speak(root, *(f"{test}/{name}.wav" for name in ("yes/e5_nohash_0", "_unknown_/bird_4a_nohash_0", "_silence_/0")))
    write(root, f"{main}/validation_list.txt", "yes/a1_nohash_0.wav\nbed/d4_nohash_0.wav\n")
    return write(root, f"{main}/testing_list.txt", "")


def fluent_commands(root: Path) -> Path:
    rows = {
        part: [
            (f"wavs/speakers/{part}/{number}.wav", part, "Now", *intent)
            for number, intent in enumerate((("activate", "lights", "none"), ("increase", "volume", "kitchen")))
        ]
        for part in ("train", "valid", "test")
    }
    for part, lines in rows.items():
        speak(root, *(line[0] for line in lines))
        path = write(root, f"data/{part}_data.csv", "") / f"data/{part}_data.csv"
        with path.open("w", newline="") as file:
            csv.writer(file).writerow(["", "path", "speakerId", "transcription", "action", "object", "location"])
            csv.writer(file).writerows([str(number), *line] for number, line in enumerate(lines))
    return root


def iemocap(root: Path) -> Path:
    for session in SESSIONS:
        dialog, lines = f"Ses0{session}F_impro01", []
        for number, label in enumerate(("neu", "sad")):
            name = f"{dialog}_F00{number}"
            speak(root, f"Session{session}/sentences/wav/{dialog}/{name}.wav")
            lines.append(f"[6.2901 - 8.2357]\t{name}\t{label}\t[2.5000, 2.5000, 2.5000]\n")
        write(root, f"Session{session}/dialog/EmoEvaluation/{dialog}.txt", "% [TIMES]\n\n" + "\n".join(lines))
        texts = "".join(f"{dialog}_F00{number} [006.2901-008.2357]: Excuse me.\n" for number in range(2))
        write(root, f"Session{session}/dialog/transcriptions/{dialog}.txt", texts)
    return root


def librispeech_phones(root: Path) -> Path:
    for number, part in enumerate(("train-clean-100", "dev-clean", "test-clean"), 1):
        chapter = f"{part}/{number}/7/{number}-7"
        speak(root, f"{chapter}-0000.flac", f"{chapter}-0001.flac", seconds=1.0)
        write(root, f"{chapter}.trans.txt", f"{number}-7-0000 THE CAT\n{number}-7-0001 A CAT\n")
    write(root, "librispeech-lexicon-200k-g2p.txt", "THE\tDH AH0\n")
    return write(root, "librispeech-lexicon-allothers-g2p.txt", "A EY1\nCAT K AE1 T\n")


def librispeech(root: Path) -> Path:
    librispeech_phones(root / "LibriSpeech")
    return root


def audio_snips(root: Path) -> Path:
    lines = []
    for part, voice in (("train", "Ivy"), ("valid", "Aditi"), ("test", "Brian")):
        for number in range(2):
            name = f"{voice}-snips-{part}-{number}"
            speak(root, f"{part}/{name}.wav", seconds=1.0)
            lines.append(f"{name} BOS RATE SIX EOS\tO O rating_value RateBook\n")
    return write(root, "all.iob.snips.txt", "".join(lines))


def voxceleb(root: Path) -> Path:
    """For both tasks: so many speakers to train on that 3 % of them are two, and two others to verify."""
    heard = [f"id1{voice:04}/video{take}x/0000{take}.wav" for voice in range(50) for take in (1, 2)]
    scored = [f"id1027{voice}/video{take}x/0000{take}.wav" for voice in (0, 1) for take in (1, 2, 3)]
    speak(root / "dev/wav", *heard, seconds=2.1)  # shorter ones are not trained on
    speak(root / "test/wav", *scored)
    partitions = [(1, 2)[place % 2] if place < 50 else (1, 3)[place % 2] for place in range(len(heard))]
    lines = [f"{partition} {name}\n" for partition, name in zip(partitions, heard, strict=True)]
    write(root, "iden_split.txt", "".join([*lines, *(f"1 {name}\n" for name in scored)]))
    pairs = [(a, b) for place, a in enumerate(scored) for b in scored[place + 1 :]]
    trials = "".join(f"{int(a[:7] == b[:7])} {a} {b}\n" for a, b in pairs)
    for name in ("veri_test", "veri_test2", "list_test_all", "list_test_all2", "list_test_hard", "list_test_hard2"):
        write(root, f"{name}.txt", trials)
    return root


def common_voice(*sentences: str, accent: str = "") -> Callable[[Path], Path]:
    """The corpus of one language, whose three parts have the same sentences."""

    def make(root: Path) -> Path:
        for number, part in enumerate(("train", "dev", "test")):
            rows = ["client_id\tpath\tsentence\taccent"]
            for place, sentence in enumerate(sentences):
                name = f"common_voice_{number}{place}.mp3"
                speak(root, f"clips/{name}", seconds=1.0)
                rows.append(f"client{number}{place}\t{name}\t{sentence}\t{accent}")
            write(root, f"{part}.tsv", "\n".join(rows) + "\n")
        return root

    return make


def sbcsae(root: Path) -> Path:
    for number in (1, 2, 50, 60):
        speak(root, f"WAV/SBC{number:03}.wav", seconds=2.5)
        text = "0.10 1.20\tANN:\tI know it.\n1.30 2.40\tBOB:\tYou do, I know.\n"
        write(root, f"TRN/SBC{number:03}.trn", text)
    return root


def quesst(root: Path) -> Path:
    base = "quesst14Database"
    audio = [f"Audio/quesst14_0000{number}.wav" for number in range(1, 5)]
    queries = {
        part: [f"{part}_queries/quesst14_{part}_00{number}.wav" for number in (1, 2)] for part in ("dev", "eval")
    }
    speak(root / base, *audio, seconds=1.0)
    for part, paths in {"utterances": audio, **queries}.items():
        speak(root / base, *(path for path in paths if part != "utterances"), seconds=0.3)
        lines = "".join(f"{base}/{path} nnenglish\n" for path in paths)
        write(root, f"{base}/scoring/language_key_{part}.lst", lines)
    for part in queries:
        text = "".join(f"LEXEME quesst14_0000{n} 1 0 1.5 quesst14_{part}_00{n} lex quesst14 0.5\n" for n in (1, 2))
        write(root, f"{base}/scoring/groundtruth_quesst14_{part}/quesst14_{part}.rttm", f"SPKR-INFO x\n{text}")
    return root


def covost(root: Path) -> Path:
    texts, rows = ["client_id\tpath\tsentence"], ["path\ttranslation\tsplit\tlang"]
    for number, part in enumerate(("train", "train", "dev", "test", "test")):
        name = f"common_voice_en_{number}.mp3"
        speak(root, f"en/clips/{name}", seconds=0.5)
        texts.append(f"client{number}\t{name}\tYes")
        rows.append(f"{name}\tJa\t{part}\t")
    write(root, "en/validated.tsv", "\n".join(texts) + "\n")
    return write(root, "covost_v2.en_de.tsv", "\n".join(rows) + "\n")


def voicebank(root: Path) -> Path:
    """At the publisher's 48 kHz. p226 is of the dev part."""
    stems = {"trainset_28spk": ("p226_001", "p228_001", "p228_002"), "testset": ("p232_001", "p257_001")}
    places = [(name, stem) for name, of_set in stems.items() for stem in of_set]
    waves = _read(len(places) + 1, seconds=1.5)
    for (name, stem), clean in zip(places, waves, strict=False):
        for kind, wave in (("clean", clean), ("noisy", clean + 0.3 * waves[-1])):
            _save(root / f"{kind}_{name}_wav" / f"{stem}.wav", np.repeat(0.5 * wave, 3), 3 * RATE_HZ)
    return root


def libri2mix(root: Path) -> Path:
    """For both tasks: `min` with voices alone, `max` with noise and the turns of LibriSpeech's utterances."""
    parts = ("train-100", "train-100", "dev", "test", "test")
    waves = _read(2 * len(parts) + 1, seconds=1.5)
    for number, part in enumerate(parts):
        names = [f"{number}{voice}-7{number}{voice}-0001" for voice in (1, 2)]
        one, two = waves[2 * number : 2 * number + 2]
        for length, kind, mixed in (("min", "mix_clean", one + two), ("max", "mix_both", one + two + 0.1 * waves[-1])):
            for folder, wave in (("s1", one), ("s2", two), (kind, mixed)):
                where = root / "Libri2Mix/wav16k" / length / part / folder
                _save(where / f"{'_'.join(names)}.wav", 0.4 * wave, RATE_HZ)
        turns = "".join(
            f"SPEAKER {name.partition('-')[2]} 1 {start} 1.0 <NA> <NA> {name.partition('-')[0]} <NA> <NA>\n"
            for name, start in zip(names, (0.0, 0.4), strict=True)
        )
        write(root, f"metadata/LibriSpeech/{number}_clean.rttm", turns)
    return root


def vcc2020(root: Path) -> Path:
    """Four English targets with sentences to learn and to choose by, one source whose test sentence each target has."""
    for voice in ("TEF1", "TEF2", "TEM1", "TEM2"):
        speak(root, f"target_task1/{voice}/E10061.wav", f"target_task1/{voice}/E20001.wav", seconds=0.8)
        speak(root, f"vcc2020_database_groundtruth/{voice}/E30001.wav", seconds=0.8)
    return speak(root, "source/SEF1/E10001.wav", "vcc2020_database_evaluation/SEF1/E30001.wav", seconds=0.8)


def _read(count: int, seconds: float) -> list[np.ndarray]:
    """Pieces of the real speech, none of which is another one."""
    with TemporaryDirectory() as folder:
        speak(Path(folder), *(f"{number:02}.wav" for number in range(count)), seconds=seconds)
        return [np.asarray(soundfile.read(path)[0]) for path in sorted(Path(folder).iterdir())]


def _save(path: Path, wave: np.ndarray, rate_hz: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wave, rate_hz)


TREES: dict[str, Callable[[Path], Path]] = {
    "audio-snips": audio_snips,
    "common-voice-ar": common_voice("نعم، هنا", "لا أعرف"),
    "common-voice-es": common_voice("Hola, mundo", "¿Sí? Hola", accent="mexicano"),
    "common-voice-zh-cn": common_voice("你好。", "好你"),
    "covost-en-de": covost,
    "fluent-speech-commands": fluent_commands,
    "iemocap": iemocap,
    "libri2mix-diarization": libri2mix,
    "libri2mix-separation": libri2mix,
    "librispeech-asr": librispeech,
    "librispeech-phones": librispeech_phones,
    "quesst-2014": quesst,
    "sbcsae": sbcsae,
    "speech-commands": speech_commands,
    "vcc2020": vcc2020,
    "voicebank-demand": voicebank,
    "voxceleb1-identification": voxceleb,
    "voxceleb1-verification": voxceleb,
}
