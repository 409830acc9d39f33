"""`recsys drift`: what the service saw, beside what the bundle was judged with."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from recsys_core.cli.bundles import add_bundle, bundle_folder


def add_commands(commands: Any) -> None:
    """Add this module's commands to the parser."""
    shown = commands.add_parser("drift", help="how far the service's answers are from those the bundle was judged with")
    add_bundle(shown)
    shown.add_argument("--observed", type=Path, default=None, help="folder of the counts (RECSYS_HOME/collected/monitor)")
    shown.add_argument("--days", type=int, default=7, help="so many days up to today (7)")
    shown.set_defaults(run=show)


def show(options: argparse.Namespace) -> None:
    """Print a table: segment, feature, PSI, KS, answers, and what drifted."""
    from recsys_core.monitoring import DriftConfig, Reference, drift, drifting, read_observed
    from recsys_core.serving import verify_bundle

    folder = bundle_folder(options)
    verify_bundle(folder)
    observed = options.observed or Path(os.environ.get("RECSYS_HOME") or "var") / "collected" / "monitor"
    config, reference = DriftConfig(), Reference.read(folder)
    found = drift(reference, read_observed(observed, reference, options.days), config)
    print(f"{'segment':<24} {'feature':<16} {'PSI':>7} {'KS':>7} {'p':>9} {'expected':>9} {'observed':>9}")
    for one in found:
        numbers = "".join(f" {'–' if value is None else format(value, form):>{width}}" for value, form, width in
                          ((one.psi, ".3f", 7), (one.ks, ".3f", 7), (one.p_value, ".2g", 9)))
        print(f"{one.segment:<24} {one.feature:<16}{numbers} {one.expected:>9,} {one.observed:>9,}"
              f"{'  drifted' if one.drifted else ''}")
    names = drifting(found)
    few = all(one.psi is None for one in found)
    print(f"drifted: {', '.join(names)}" if names else
          f"too few answers to say anything: {config.least} are needed" if few else "nothing drifted")
