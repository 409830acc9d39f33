"""What `benchmarks/door.py` measures: what a shop delivers against what is read, set aside or refused."""
