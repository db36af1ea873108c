"""Tests of sessions in cookies, with a list of those that were ended."""
