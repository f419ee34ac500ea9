"""Times of day and of the week, as people write them, and the cron lines that Prefect takes."""

from __future__ import annotations

import re
from zoneinfo import available_timezones

from wavlm.errors import UsageError

DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")  # cron's numbers, 0 to 6
_TIME = re.compile(r"(?P<hour>\d{1,2}):(?P<minute>\d{2})")
_CRON_FIELDS = 5


def read_daily(text: str) -> str:
    """The cron line of `02:15`, or of a cron line. Raises UsageError."""
    if _is_cron_like(text):
        return _check_cron(text, "--nightly")
    hour, minute = _read_time(text, "--nightly", "02:15")
    return f"{minute} {hour} * * *"


def read_weekly(text: str) -> str:
    """The cron line of `sat 04:30`, or of a cron line. Raises UsageError."""
    if _is_cron_like(text):
        return _check_cron(text, "--weekly")
    day, _, time = text.strip().partition(" ")
    if day.lower()[:3] not in DAYS:
        raise _refuse(text, "--weekly", "a day and a time, e.g. 'sat 04:30'")
    hour, minute = _read_time(time, "--weekly", "sat 04:30")
    return f"{minute} {hour} * * {DAYS.index(day.lower()[:3])}"


def check_timezone(name: str) -> str:
    """The name, if the tz database has it. Raises UsageError."""
    if name not in available_timezones():
        raise UsageError(
            "SCHEDULE_BAD",
            f"{name!r} is no time zone; at --timezone; give a name of the tz database, e.g. Europe/Prague or UTC",
        )
    return name


def _is_cron_like(text: str) -> bool:
    return len(text.split()) == _CRON_FIELDS


def _check_cron(text: str, option: str) -> str:
    from prefect.client.schemas.schedules import CronSchedule
    from pydantic import ValidationError

    try:
        return CronSchedule(cron=" ".join(text.split())).cron
    except ValidationError:
        raise _refuse(text, option, "a cron line, e.g. '15 2 * * *'") from None


def _read_time(text: str, option: str, example: str) -> tuple[int, int]:
    match = _TIME.fullmatch(text.strip())
    hour, minute = (int(match["hour"]), int(match["minute"])) if match else (24, 0)
    if hour > 23 or minute > 59:
        raise _refuse(text, option, f"a time of 24 hours, e.g. '{example}', or a cron line, e.g. '15 2 * * *'")
    return hour, minute


def _refuse(text: str, option: str, expected: str) -> UsageError:
    return UsageError("SCHEDULE_BAD", f"{text!r} is no time to run at; at {option}; give {expected}")
