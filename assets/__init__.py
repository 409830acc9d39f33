"""Dagster assets, one file per stage. Dagster is pinned, so its notices about what may change are noise."""

import warnings

import dagster as dg

for _notice in (dg.BetaWarning, dg.PreviewWarning):
    warnings.filterwarnings("ignore", category=_notice)
