"""Parts of `make bench-language`, one module each."""
