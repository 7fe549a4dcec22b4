"""Test how answers show times."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from rundlet_server.functions.units import rfc3339

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_US, LAST_US = (
    (time - EPOCH) // timedelta(microseconds=1)
    for time in (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))
)


def test_time_is_shown_to_the_microsecond():
    assert rfc3339(1_801_396_800_000_001) == "2027-01-31T12:00:00.000001Z"
    assert rfc3339(-1) == "1969-12-31T23:59:59.999999Z"


def test_any_time_is_shown_as_by_the_standard_library():
    chance = random.Random(1)
    times = [chance.randint(FIRST_US, LAST_US) for _ in range(3_000)]
    for time_us in (FIRST_US, LAST_US, 0, *times):
        time = EPOCH + timedelta(microseconds=time_us)

        assert rfc3339(time_us) == time.isoformat(timespec="microseconds").replace("+00:00", "Z")


@pytest.mark.parametrize("time_us", [FIRST_US - 1, LAST_US + 1])
def test_time_before_the_first_year_or_after_the_last_overflows(time_us: int):
    with pytest.raises(OverflowError):
        rfc3339(time_us)
