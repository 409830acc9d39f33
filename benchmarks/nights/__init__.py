"""Parts of `make bench-nightly`, one module each."""
