"""Tests, mirroring the modules of the package."""
