"""Looks into files before they are shared: what a pickle imports, what a template reaches for, what a header claims.

`Scanner` is the door; the contract says what findings are.
"""

from .contract import Findings, Limits, as_json, from_json
from .opinions import Command, picklescan
from .scanning import Scanner
from .sources import Data, Piece

__all__ = ["Command", "Data", "Findings", "Limits", "Piece", "Scanner", "as_json", "from_json", "picklescan"]
