"""Parts of the benchmark of nights."""
