"""Which failures of a corpus are worth another attempt."""

from __future__ import annotations

import pytest
from prefect.states import Failed

from tasks.corpus import lost_connection
from wavlm.corpus.download.transfer import InterruptedTransferError, RefusedError
from wavlm.errors import BadDataError, ServiceMissingError


@pytest.mark.parametrize(
    "error",
    [
        InterruptedTransferError("DL_CUT", "the line went dead"),
        ServiceMissingError("APT_FAILED", "no network"),
        ConnectionResetError("reset by peer"),
    ],
)
def test_a_lost_connection_is_tried_again(error: Exception) -> None:
    assert lost_connection(None, None, Failed(data=error))


@pytest.mark.parametrize(
    "error",
    [
        BadDataError("DL_CHECKSUM", "other bytes"),
        RefusedError("DL_HTTP", "status 404"),
        ServiceMissingError("APT_MISSING", "no apt-get"),
        ValueError("a bug"),
    ],
)
def test_what_will_fail_again_is_not_tried_again(error: Exception) -> None:
    assert not lost_connection(None, None, Failed(data=error))
