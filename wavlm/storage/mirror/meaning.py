"""What an error of the client means. Answers of a server are never quoted: they may repeat keys and signatures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    NotSupportedError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)

from wavlm.errors import AnswerTooLargeError, CodedError, LockedError, ServiceMissingError

_STATUS = re.compile(r"status code: (\d{3}[A-Za-z ]*)")
_NAME = re.compile(r"<Code>([A-Za-z]{1,60})</Code>")
# What the client says of itself, and not an answer.
_OWN = re.compile(
    r"Content-Range header[^:\n]*|Received non-partial response[^:\n]*|Content-Length Header missing[^:\n]*|"
    r"Requested range [^\n]*|HTTP error: [a-z ]+"
)
_SLOW = re.compile(r"TimedOut|timed out|operation timed", re.IGNORECASE)
_NO_CREDENTIALS = re.compile(r"credential|latest/api/token|latest/meta-data", re.IGNORECASE)
_REFUSED = {"400", "401", "403"}


@contextmanager
def code_client_errors(where: str) -> Iterator[None]:
    """Raise what the client raises in the block with a code; errors of the operating system stay what they are."""
    try:
        yield
    except (CodedError, AlreadyExistsError, PreconditionError, NotSupportedError):
        raise  # those that a caller acts on
    except (PermissionDeniedError, UnauthenticatedError) as error:
        raise _denied(str(error), where) from None
    except AnswerTooLargeError as error:
        raise ServiceMissingError(
            "ANSWER_TOO_LARGE", f"the mirror sends {error}; at {where}; check its address, and what stands before it"
        ) from None
    except BaseError as error:
        raise _meaning(str(error), where) from None


def _meaning(text: str, where: str) -> CodedError:
    what = _say(text)
    if _NO_CREDENTIALS.search(text) and not _STATUS.search(text.partition("Debug source")[0]):
        return _denied(text, where)
    if what[:3] in _REFUSED:
        return _denied(text, where)
    if _SLOW.search(text):
        return ServiceMissingError(
            "MIRROR_STALLED", f"no whole answer in time ({what}); at {where}; check the network, then run again"
        )
    return ServiceMissingError("MIRROR_LOST", f"{what}; at {where}; check the mirror and the network, then run again")


def _denied(text: str, where: str) -> CodedError:
    return LockedError(
        "MIRROR_DENIED",
        f"the mirror refuses access ({_say(text)}); at {where}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
        "AWS_PROFILE, and check what the user may do",
    )


def _say(text: str) -> str:
    """Status and name of an error, as far as they are known."""
    head = text.partition("Debug source")[0]
    status, name, own = _STATUS.search(head), _NAME.search(head), _OWN.search(head)
    if status:
        return f"{status[1].strip()}, {name[1]}" if name else status[1].strip()
    return own[0].strip() if own else "no answer"
