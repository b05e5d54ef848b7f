"""The `hubgate` command: one module a command group, `main` gathers them.

Errors that people can mend are one clear message on standard error and exit code 2; an interrupt is 130. Modules that
are slow to load (mitmproxy, aiohttp) are imported inside the command that needs them.
"""
