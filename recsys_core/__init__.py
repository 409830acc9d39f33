"""The core of fewshot-recsys: every stage as plain functions, free of Dagster."""
