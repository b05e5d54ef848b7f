"""Sync: repos are kept here as they are at their hub, on a schedule, and what changed is on record.

`update` brings one repo up to date, `schedule` does so for all again and again, `journal` remembers on disk what is
here and what happened, `claims` which server wants what, `standing` tells how far behind it may be.
"""

from .journal import Journal
from .schedule import Schedule
from .standing import Standing
from .update import Result, Update, Updates

__all__ = ["Journal", "Result", "Schedule", "Standing", "Update", "Updates"]
