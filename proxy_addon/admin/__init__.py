"""What an operator looks at: health, metrics, the CA's certificate, and one plain page with links to them.

Read-only and without state of its own. It has its own listener, which the proxy never relays to.
"""

from .app import Health, Listening, create_app, start

__all__ = ["Health", "Listening", "create_app", "start"]
