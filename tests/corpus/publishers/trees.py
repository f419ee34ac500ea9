"""Small trees of the large corpora as their publishers lay them out, packed as they pack them, by address.

The paths are those of the shipped specs' addresses, so that a local server can stand in for the publisher's.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping

from tests.corpus.publishers.packing import encode, encrypt, gzipped, parquet, tar, zipped

PEOPLE = "datasets/MLCommons/peoples_speech/resolve/f10597c5d3d3a63f8b6827701297c3afdf178272/clean"
GIGASPEECH_PASSWORD = "correct horse"  # noqa: S105 - of archives that a test makes
DNS = "dns5archive/V5_training_dataset/noise_fullband/datasets_fullband.noise_fullband"


def _librispeech(part: str, speaker: str) -> dict[str, bytes]:
    chapter = f"LibriSpeech/{part}/{speaker}/121123"
    names = [f"{speaker}-121123-{number:04d}" for number in range(2)]
    texts = "".join(f"{name} GO DO YOU HEAR\n" for name in names).encode()
    audio = {f"{chapter}/{name}.flac": encode("flac", int(speaker) + seed) for seed, name in enumerate(names)}
    notes = {"LibriSpeech/README.TXT": b"LibriSpeech", "LibriSpeech/SPEAKERS.TXT": b";ID |SEX"}
    return {**notes, f"{chapter}/{speaker}-121123.trans.txt": texts, **audio}


def mini_librispeech() -> dict[str, bytes]:
    return {
        "resources/31/train-clean-5.tar.gz": tar(_librispeech("train-clean-5", "84"), "w:gz"),
        "resources/31/dev-clean-2.tar.gz": tar(_librispeech("dev-clean-2", "174"), "w:gz"),
    }


def librispeech() -> dict[str, bytes]:
    return {"resources/12/dev-clean.tar.gz": tar(_librispeech("dev-clean", "84"), "w:gz")}


def libri_light() -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for speaker in ("960", "12"):
        stem = f"small/{speaker}/holland_1011_librivox_64kb_mp3/holland_0{len(speaker)}_edmundson_64kb"
        side = {
            "speaker": speaker,
            "book_meta": {"id": "319"},
            "snr": 5.391,
            "voice_activity": [[0.1, 0.9], [1.2, 1.9]],
        }
        files |= {f"{stem}.flac": encode("flac", int(speaker), 2.0), f"{stem}.json": json.dumps(side).encode()}
    return {"librilight/data/small.tar": tar(files)}


def voxpopuli() -> dict[str, bytes]:
    sessions = ("20090114-0900-PLENARY-9_en", "20101118-0900-PLENARY-3_en", "20101119-1000-COMMITTEE-LIBE_en")
    lines = [f"{name}\t{number}\t{start}\t{start + 0.8}" for name in sessions for number, start in ((1, 0.1), (2, 1.0))]
    lines.append("20090114-0900-PLENARY-9_de\t1\t0.1\t0.9")  # the list is about all languages
    found = {
        "voxpopuli/annotations/unlabelled_v2.tsv.gz": gzipped(
            "\n".join(["event_id\tsegment_no\tstart\tend", *lines, ""])
        )
    }
    for seed, (name, archive) in enumerate(zip(sessions, ("en_2009", "en_2010", "en_2010_2"), strict=True)):
        session = {f"en/{name[:4]}/{name}.ogg": encode("ogg", seed, 2.0)}
        found[f"voxpopuli/audios/{archive}.tar"] = tar(session)
    return found


def transcribed_voxpopuli() -> dict[str, bytes]:
    session = "20131007-0900-PLENARY-19"
    header = "id_|session_id|start_time|end_time|original_text|normed_text|speaker_id|gender|split|vad"
    rows = [
        f'7|{session}|0.0|1.0|"Thank ""you"""|thank you|96853|female|train|[(0.1, 0.9)]',
        f"8|{session}|1.0|2.0|Yes|yes|None|male|dev|[(1.0, 2.0)]",
        f"9|{session}|2.0|2.9|No|no|28219|male|test|[(2.0, 2.9)]",
    ]
    return {
        "voxpopuli/audios/original_2013.tar": tar({f"original/2013/{session}_original.ogg": encode("ogg", 6, 3.0)}),
        "voxpopuli/annotations/asr/asr_en.tsv.gz": gzipped("\n".join([header, *rows, ""])),
    }


def mls() -> dict[str, bytes]:
    files: dict[str, bytes] = {"mls_english_opus/metainfo.txt": b"SPEAKER | GENDER"}
    for number, part in enumerate(("train", "dev", "test")):
        who = f"{number + 1}042"
        files[f"mls_english_opus/{part}/audio/{who}/7/{who}_7_000000.opus"] = encode("opus", number)
        files[f"mls_english_opus/{part}/transcripts.txt"] = f"{who}_7_000000\tgood day\n".encode()
        files[f"mls_english_opus/{part}/segments.txt"] = (
            f"{who}_7_000000\thttp://example.org/7.mp3\t1.0\t1.5\n".encode()
        )
    files["mls_english_opus/train/limited_supervision/9hr/handles.txt"] = b"1042_7_000000\n"
    return {"mls/mls_english_opus.tar.gz": tar(files, "w:gz")}


def peoples_speech() -> dict[str, bytes]:
    def table(split: str, seed: int) -> bytes:
        rows: list[dict[str, object]] = [
            {
                "id": f"{split}/part_{number}.flac",
                "audio": {"bytes": encode("flac", seed + number), "path": f"part_{number}.flac"},
                "duration_ms": 500,
                "text": f"text {number}",
            }
            for number in range(2)
        ]
        return parquet(rows)

    return {
        f"{PEOPLE}/train-00000-of-00804.parquet": table("train", 10),
        f"{PEOPLE}/train-00803-of-00804.parquet": table("more", 20),
        f"{PEOPLE}/validation-00004-of-00005.parquet": table("validation", 30),
    }


def yodas() -> dict[str, bytes]:
    names = ("DHi2OmnS8y8-00000-00000000-00000200", "DHi2OmnS8y8-00001-00000200-00000400")
    return {
        f"datasets/espnet/yodas/resolve/main/data/en000/audio/{number:08d}.tar.gz": tar(
            {f"./{name}.wav": encode("wav", number)}, "w:gz"
        )
        for number, name in zip((0, 499), names, strict=True)
    }


def dns_noise() -> dict[str, bytes]:
    return {
        f"{DNS}.{part}.tar.bz2": tar({f"noise_fullband/{name}.wav": encode("wav", seed)}, "w:bz2")
        for seed, (part, name) in enumerate((("audioset_000", "---1_cCGK4M"), ("freesound_001", "door_Freesound_1")))
    }


def gigaspeech() -> dict[str, bytes]:
    def segment(name: str, begin: float, text: str) -> dict[str, object]:
        subsets = ["{XL}", "{L}"]
        return {
            "sid": name,
            "speaker": "N/A",
            "begin_time": begin,
            "end_time": begin + 0.8,
            "text_tn": text,
            "subsets": subsets,
        }

    folders = {
        "audio/podcast/P0001": "POD0000000025",
        "audio/audiobook/P0002": "AUD0000000003",
        "audio/youtube/P0002": "YOU0000000001",
    }
    audios = [
        {
            "aid": name,
            "path": f"{folder}/{name}.opus",
            "subsets": ["{XL}", "{L}"],
            "segments": [segment(f"{name}_S0000001", 0.1, "YES <PERIOD>"), segment(f"{name}_S0000002", 1.0, "<MUSIC>")],
        }
        for folder, name in folders.items()
    ]
    listed = json.dumps({"dataset": "GigaSpeech", "language": "EN", "version": "v1.0.0", "audios": audios})
    files = {
        f"{folder}.tgz.aes": encrypt(tar({f"{name}.opus": encode("opus", seed, 2.0)}, "w:gz"), GIGASPEECH_PASSWORD)
        for seed, (folder, name) in enumerate(folders.items())
    }
    files["GigaSpeech.json.gz.aes"] = encrypt(gzipped(listed), GIGASPEECH_PASSWORD)
    parts = {
        "metadata": "GigaSpeech.json",
        "youtube": "audio/youtube",
        "podcast": "audio/podcast",
        "audiobook": "audio/audiobook",
    }
    lines = ["dict:", f"  dict/cmudict.0.7a.aes: {'0' * 32}"]
    for part, start in parts.items():
        lines += [f"{part}:", *(f"  {name}: {_md5(blob)}" for name, blob in files.items() if name.startswith(start))]
    found = {**files, "files.yaml": "\n".join([*lines, ""]).encode()}
    return {f"magichub/GigaSpeech/{name}": blob for name, blob in found.items()}


def _md5(blob: bytes) -> str:
    return hashlib.md5(blob, usedforsecurity=False).hexdigest()


def musan() -> dict[str, bytes]:
    files = {f"musan/{kind}/free-sound/{kind}-free-sound-0000.wav": encode("wav", 1) for kind in ("music", "noise")}
    files |= {"musan/noise/sound-bible/noise-sound-bible-0000.wav": encode("wav", 3)}
    files |= {"musan/speech/librivox/speech-librivox-0000.wav": encode("wav", 2)}
    files |= {"musan/noise/free-sound/LICENSE": b"CC0", "musan/noise/free-sound/ANNOTATIONS": b"noise-free-sound-0000"}
    return {"resources/17/musan.tar.gz": tar(files, "w:gz")}


def rirs_noises() -> dict[str, bytes]:
    files = {
        f"RIRS_NOISES/simulated_rirs/smallroom/Room00{room}/Room00{room}-0000{number}.wav": encode(
            "wav", 9 * room + number
        )
        for room in (1, 2)
        for number in (1, 2)
    }
    files |= {"RIRS_NOISES/pointsource_noises/noise-free-sound-0000.wav": encode("wav", 3)}
    return {
        "resources/28/rirs_noises.zip": zipped(files | {"RIRS_NOISES/simulated_rirs/smallroom/rir_list": b"--rir-id"})
    }


# By the name of the shipped spec.
TREES: Mapping[str, Callable[[], dict[str, bytes]]] = {
    "dns-noise": dns_noise,
    "gigaspeech": gigaspeech,
    "gigaspeech-episodes": gigaspeech,
    "libri-light-small": libri_light,
    "librispeech-dev-clean": librispeech,
    "mini-librispeech": mini_librispeech,
    "mls-english": mls,
    "musan": musan,
    "peoples-speech": peoples_speech,
    "rirs-noises": rirs_noises,
    "voxpopuli-en": voxpopuli,
    "voxpopuli-en-transcribed": transcribed_voxpopuli,
    "yodas-en": yodas,
}
