"""Layouts people already have, each as the `shop.yaml` fields that describe it."""
