"""The benchmark: hubgate beside a peer in the same sitting. `scripts/bench` runs it; no test asserts what it measures.

Proxy, hub, nginx and whoever downloads are processes of their own, on ports of 127.0.0.1 that were free, in one
directory that is removed at the end. Tries alternate between the two sides, so that noise of the machine meets both.
"""
