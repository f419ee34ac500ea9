"""Times of schedules, as people write them."""

from __future__ import annotations

import pytest

from flows.deploy.schedules import check_timezone, read_daily, read_weekly
from wavlm.errors import UsageError


@pytest.mark.parametrize(
    ("text", "cron"),
    [("02:15", "15 2 * * *"), ("0:00", "0 0 * * *"), (" 23:59 ", "59 23 * * *"), ("15 2 * * 1-5", "15 2 * * 1-5")],
)
def test_a_time_of_day_is_a_cron_line(text: str, cron: str) -> None:
    assert read_daily(text) == cron


@pytest.mark.parametrize(
    ("text", "cron"),
    [
        ("sat 04:30", "30 4 * * 6"),
        ("Sunday 4:30", "30 4 * * 0"),
        ("MON 23:00", "0 23 * * 1"),
        ("0 4 1 * *", "0 4 1 * *"),
    ],
)
def test_a_day_and_time_is_a_cron_line(text: str, cron: str) -> None:
    assert read_weekly(text) == cron


@pytest.mark.parametrize("text", ["", "25:00", "02:60", "2", "02.15", "noon", "61 2 * * *", "15 2 * * * *", "x y"])
def test_what_is_no_time_of_day_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"^SCHEDULE_BAD: .*; at --nightly; give "):
        read_daily(text)


@pytest.mark.parametrize("text", ["04:30", "someday 04:30", "sat", "sat 4", "sat 04:30 05:30", "* * * * mon-xyz"])
def test_what_is_no_time_of_the_week_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"^SCHEDULE_BAD: .*; at --weekly; give "):
        read_weekly(text)


def test_a_time_zone_is_one_of_the_tz_database() -> None:
    assert check_timezone("Europe/Prague") == "Europe/Prague"
    for name in ("Prague", "CEST2", "", "../UTC"):
        with pytest.raises(UsageError, match=r"^SCHEDULE_BAD: .*; at --timezone; "):
            check_timezone(name)
