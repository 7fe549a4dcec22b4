"""Tests of the past of a log store: moments, the times of commits, what is kept and held."""
