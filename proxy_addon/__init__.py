"""hubgate: a caching forward proxy for model hubs. Start reading at `engine.py`; the README lists the floors."""
