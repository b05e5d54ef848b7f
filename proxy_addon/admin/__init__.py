"""What an operator looks at: health, metrics, the CA's certificate, and one plain page with links to them.

Read-only and without state of its own. It has its own listener, which the proxy never relays to.
"""

from .app import Health, Listening, create_app, start
from .page import Ruled, Synced

__all__ = ["Health", "Listening", "Ruled", "Synced", "create_app", "start"]
