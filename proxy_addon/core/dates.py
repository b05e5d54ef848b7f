"""HTTP-dates: the three forms of RFC 9110 §5.6.7, and nothing that merely looks like one.

A date that is not understood beyond doubt is None, and the caller must then choose the careful reading: an `Expires`
that is no date is in the past (RFC 9111 §5.3), a `Date` that is no date is the time of arrival. Letters compare without
case, and no zone but GMT is a date (RFC 9111 §4.2).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import formatdate
from functools import lru_cache

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAY = "(?:mon|tue|wed|thu|fri|sat|sun)"
_LONG_DAY = "(?:mon|tues|wednes|thurs|fri|satur|sun)day"
_MONTH = f"(?P<month>{'|'.join(_MONTHS)})"
_TIME = r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
_FORMS = tuple(
    re.compile(form, re.IGNORECASE | re.ASCII)
    for form in (
        rf"{_DAY}, (?P<day>\d\d) {_MONTH} (?P<year>\d{{4}}) {_TIME} GMT",
        rf"{_LONG_DAY}, (?P<day>\d\d)-{_MONTH}-(?P<year>\d\d) {_TIME} GMT",
        rf"{_DAY} {_MONTH} (?P<day>[ \d]\d) {_TIME} (?P<year>\d{{4}})",
    )
)
#: Where the century of a two-digit year is measured from when the caller has no better time: 2026-01-01.
_ERA = 1_767_225_600.0


@lru_cache(maxsize=512)
def _fields(value: str) -> tuple[int, int, int, int, int, int, bool] | None:
    for form in _FORMS:
        if match := form.fullmatch(value):
            year = match["year"]
            second = 59 if match["second"] == "60" else int(match["second"])  # datetime knows no leap second
            clock = int(match["hour"]), int(match["minute"]), second
            return (int(year), _MONTHS.index(match["month"].lower()) + 1, int(match["day"]), *clock, len(year) == 2)
    return None


def parse_date(value: str | None, now: float = _ERA) -> float | None:
    """Epoch seconds, or None. A two-digit year is at most 50 years after `now` (RFC 9110 §5.6.7)."""
    if value is None or (fields := _fields(value.strip())) is None:
        return None
    year, month, day, hour, minute, second, short = fields
    if short:
        latest = datetime.fromtimestamp(now, UTC).year + 50
        year = latest - (latest - year) % 100
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp()
    except ValueError:
        return None


def format_date(when: float) -> str:
    """Epoch seconds as an IMF-fixdate."""
    return formatdate(when, usegmt=True)
