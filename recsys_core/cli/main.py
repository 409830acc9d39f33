"""The `recsys` command: its parser, and how a fault ends it."""

from __future__ import annotations

import argparse
import io
import os
import sys
from typing import NoReturn

from recsys_core.cli import ask, drift, erase, experiment, lists, release, serve, shop, tasks, verify, words
from recsys_core.errors import RecsysError, RequestError

# Each adds its commands to the parser; what a command needs is imported when it runs.
COMMANDS = (ask, drift, erase, experiment, lists, release, serve, shop, tasks, verify, words)


class _Parser(argparse.ArgumentParser):
    """A wrong option is one line, too."""

    def error(self, message: str) -> NoReturn:
        raise RequestError("options", message, f"see {self.prog} --help")


def make_parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    parser = _Parser(prog="recsys", description="Serve, ask and look into a published bundle; check a shop's folder.")
    commands = parser.add_subparsers(dest="command", required=True)
    for module in COMMANDS:
        module.add_commands(commands)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0, or 1 after one line on stderr about what was wrong."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a title must not end a command whose locale lacks its letters
    try:
        options = make_parser().parse_args(arguments)
        options.run(options)
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:  # the reader has seen enough; what is buffered goes nowhere, so that nothing complains at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (RecsysError, OSError) as error:
        print(f"recsys: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
