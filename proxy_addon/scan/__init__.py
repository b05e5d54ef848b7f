"""Looks into files before they are shared: what a pickle imports, what a template reaches for, what a header claims.

`Scanner` is the door; the contract says what a verdict is.
"""

from .contract import ENGINE, Findings, Limits, Verdict, as_json, from_json, judged, unknown
from .opinions import Command, picklescan
from .scanning import Scanner
from .sources import Data, Piece

__all__ = [
    "ENGINE", "Command", "Data", "Findings", "Limits", "Piece", "Scanner", "Verdict", "as_json", "from_json", "judged",
    "picklescan", "unknown",
]  # fmt: skip
