"""What a command does with a fault: one line on stderr and exit code 1, never a traceback."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from recsys_core.errors import RecsysError


@contextmanager
def told_in_one_line(module: str) -> Iterator[None]:
    """Print a fault and end the process, if the module is the command that runs.

    Importing `assets.partitions` opens the shop, so a command wraps its imports, too. Anybody else who imports the module
    (Dagster, a test) gets the exception.

    Args:
        module: the caller's `__name__`.
    """
    try:
        yield
    except (RecsysError, OSError) as error:
        if module != "__main__":
            raise
        print(" ".join(str(error).split()), file=sys.stderr)
        sys.exit(1)
