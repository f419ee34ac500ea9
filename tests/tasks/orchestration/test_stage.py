"""Which failures of a stage are worth another attempt."""

from __future__ import annotations

import pickle

import pytest
from prefect.states import Failed

from tasks.orchestration.stage import may_pass
from wavlm.corpus.download.redirects import InterruptedTransferError, RefusedError
from wavlm.errors import TRANSIENT, BadDataError, Code, LockedError, ServiceMissingError, StoppedError


@pytest.mark.parametrize(
    "error",
    [
        InterruptedTransferError("DL_CUT", "the line went dead"),
        InterruptedTransferError("DL_HTTP", "status 503"),
        ServiceMissingError("APT_FAILED", "no network"),
        ServiceMissingError("REGISTRY_DOWN", "no answer"),
        ServiceMissingError("STORAGE_STALLED", "the mount hangs"),
        ConnectionResetError("reset by peer"),
    ],
    ids=str,
)
def test_what_may_pass_by_itself_is_tried_again(error: Exception) -> None:
    assert may_pass(None, None, Failed(data=error))
    assert may_pass(None, None, Failed(data=pickle.loads(pickle.dumps(error))))


@pytest.mark.parametrize(
    "error",
    [
        BadDataError("DL_HASH", "other bytes"),
        BadDataError("TOO_MANY_REJECTS", "AUDIO_CORRUPT"),
        RefusedError("DL_HTTP", "status 404"),
        ServiceMissingError("APT_MISSING", "no apt-get"),
        LockedError("LOCKED", "it has waited already"),
        StoppedError("STOPPED", "somebody wants it"),
        ValueError("a bug"),
    ],
    ids=str,
)
def test_what_will_fail_again_is_not_tried_again(error: Exception) -> None:
    assert not may_pass(None, None, Failed(data=error))


def test_no_code_of_data_specs_or_licences_passes_by_itself() -> None:
    stay = {code for code in Code if code.startswith(("AUDIO_", "TAR_", "GATED", "RECIPE", "DUP_", "LAYOUT", "LOCKED"))}
    assert len(stay) > 15
    assert not stay & TRANSIENT
