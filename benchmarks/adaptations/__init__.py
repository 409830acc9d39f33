"""The parts of the adaptation benchmark, one cost or quality claim per module."""
