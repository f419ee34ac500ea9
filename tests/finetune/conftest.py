"""The corpus of made-up words, made once."""

from __future__ import annotations

import pytest

from tests.finetune.made import make_corpus
from wavlm.execution.finetune_job import LabelledFolders


@pytest.fixture(scope="session")
def words(tmp_path_factory: pytest.TempPathFactory) -> LabelledFolders:
    return make_corpus(tmp_path_factory.mktemp("words"), each=3)
