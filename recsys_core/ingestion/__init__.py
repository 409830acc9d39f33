"""Ingestion: whatever a shop delivers, as the contract's raw tables, one local day at a time."""
