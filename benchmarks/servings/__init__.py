"""Parts of `make bench-serving`, one module each."""
