"""Benchmarks: each script measures one claim, writes benchmarks/results/NAME.json and prints it as a table."""
