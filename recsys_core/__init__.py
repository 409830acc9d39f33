"""The core of fewshot-recsys: every stage as plain functions, free of Dagster."""

__version__ = "0.2.0"
