"""What systems learn from here: real speech at hand, split by speaker, packed once into the work folder.

| name | what | speakers |
|---|---|---|
| read-speech | LibriSpeech test-clean, 1.8 h with text | 28 |
| read-phrases | the same, cut between words into phrases of a second or two | 28 |
| spoken-digits | Free Spoken Digit Dataset, 2,500 recordings | 5 |
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.learn.phrases import cut_recordings
from wavlm.corpus.build import build_corpus
from wavlm.errors import UsageError
from wavlm.execution.finetune_job import LabelledFolders
from wavlm.execution.progress import no_progress
from wavlm.shards import build_shards
from wavlm.shards.recordings import Intake
from wavlm.specs import CorpusSpec
from wavlm.specs.labelling import ShardSpec
from wavlm.storage.files import sha256_of

HERE = Path(__file__)
SHARED = HERE.parents[3] / "shared"
SHARDS = ShardSpec(min_seconds=0.1, max_seconds=3600.0, max_rejected=0.0)
_READ = {
    "name": "read-speech",
    "description": "28 speakers of LibriSpeech's test-clean, with text",
    "homepage": "https://www.openslr.org/12/",
    "license": "CC-BY-4.0",
    "citation": "V. Panayotov et al. LibriSpeech. ICASSP 2015",
    "layout": {
        "type": "generic",
        "audio": "speech/**/*.flac",
        "speaker": "^speech/(?P<speaker>[^/]+)/",
        "transcripts": "transcripts.tsv",
        "text_column": "text",
    },
    "expected_hours": 1.8,
}
_PHRASES = _READ | {"name": "read-phrases", "description": "Phrases of 28 speakers of LibriSpeech's test-clean"}
_DIGITS = {
    "name": "spoken-digits",
    "description": "Digits by 5 speakers, 8 kHz",
    "homepage": "https://github.com/Jakobovski/free-spoken-digit-dataset",
    "license": "CC-BY-SA-4.0",
    "citation": "Z. Jackson et al. Free Spoken Digit Dataset. Zenodo 2020",
    "layout": {
        "type": "generic",
        "audio": "**/*.flac",
        "speaker": "^(?P<speaker>[^/]+)/",
        "transcripts": "digits.tsv",
        "id_column": "path",
        "text_column": "",
        "class_column": "digit",
    },
    "expected_hours": 0.3,
}
_FOLDERS = {
    "read-speech": (_READ, "corpus"),
    "read-phrases": (_PHRASES, "corpus"),
    "spoken-digits": (_DIGITS, "eval-data/fsdd"),
}
CUT = "read-phrases"


def corpus_of(name: str, root: Path | None = None) -> CorpusSpec:
    """The spec of one of them. root: where its recordings are, if they were cut.

    Raises UsageError (FOLDER_MISSING) where its recordings are not at hand.
    """
    fields, place = _FOLDERS[name]
    folder = root or SHARED / place
    if not folder.is_dir():
        raise UsageError(
            "FOLDER_MISSING",
            f"the recordings of {name} are not there, expected a folder; at {folder}; put them beside the repository",
        )
    whole = {"role": "evaluation", "language": "en", "sources": [{"type": "folder", "path": str(folder)}], **fields}
    return CorpusSpec.model_validate_json(json.dumps(whole))


def prepare(name: str, work: Path) -> LabelledFolders:
    """Its corpus and shards, made if they are not there."""
    folder = work / name
    found = LabelledFolders(name=name, corpus=folder / "corpus", shards=folder / "shards")
    done = folder / "done"
    if not done.exists():
        shutil.rmtree(folder, ignore_errors=True)
        root = SHARED / _FOLDERS[name][1]
        if name == CUT:
            cut_recordings(root, folder / "cut")
            root = folder / "cut"
        spec = corpus_of(name, root)
        build_corpus(spec, folder / "downloads", found.corpus, no_progress)
        intake = Intake(spec.channels, spec.role, root=root)
        build_shards(SHARDS, found.corpus, found.shards, 1, no_progress, intake)
        done.write_text(sha256_of(found.shards / "index.parquet") if (found.shards / "index.parquet").exists() else "")
    return found
