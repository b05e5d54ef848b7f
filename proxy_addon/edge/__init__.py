"""The parts of the edge that can be thought about one at a time; `addon`, `streaming` and `front` put them together."""
