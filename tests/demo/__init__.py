"""Tests of the demo, which runs as a process of its own."""
