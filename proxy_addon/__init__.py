"""hubgate: a caching forward proxy for model hubs. Start reading at `engine.py`; DESIGN of the floors is in README."""
