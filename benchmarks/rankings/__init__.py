"""The parts of the ranking benchmark, one data set or claim per module."""
