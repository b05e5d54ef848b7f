"""Looks into files before they are shared: what a pickle imports, what a template reaches for, what a header claims.

`Scanner` is the door; the contract says what a verdict is.
"""

from .contract import ENGINE, Findings, Limits, Verdict, judged, unknown
from .opinions import Command, picklescan
from .scanning import Scanner
from .sources import Piece

__all__ = ["ENGINE", "Command", "Findings", "Limits", "Piece", "Scanner", "Verdict", "judged", "picklescan", "unknown"]
