"""Races, forced step by step, on every keyed storage."""
