"""Errors keep what they say on their way out of a worker process."""

import pickle

import pytest

from wavlm.corpus.download.redirects import InterruptedTransferError
from wavlm.errors import BadDataError, CodedError
from wavlm.export import ImportRefusedError
from wavlm.labels.files import LabelMismatchError
from wavlm.specs.tree import RecipeError


@pytest.mark.parametrize(
    "error",
    [
        BadDataError("CODE", "words"),
        LabelMismatchError("words"),
        RecipeError("words"),
        ImportRefusedError("words"),
        InterruptedTransferError("CODE", "words", 2.5),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_arrives_with_its_code_its_words_and_its_notes(error: CodedError) -> None:
    error.add_note("part 3")
    arrived = pickle.loads(pickle.dumps(error))
    assert type(arrived) is type(error)
    assert str(arrived) == str(error)
    assert vars(arrived) == vars(error)
