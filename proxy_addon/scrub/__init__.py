"""Reads all that the cache holds, slowly, again and again: damage is found before a client asks for it.

`state` is where it stands, on disk, so that a restart costs a few seconds of reading. `rounds` reads; in a process of
its own, which a server starts whenever a round is due. `standing` is what that server tells of it.
"""

from .rounds import Rounds, Stopped
from .standing import Standing
from .state import State, StateFile

__all__ = ["Rounds", "Standing", "State", "StateFile", "Stopped"]
