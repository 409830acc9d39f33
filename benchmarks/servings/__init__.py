"""Parts of the benchmark of serving, one module each."""
