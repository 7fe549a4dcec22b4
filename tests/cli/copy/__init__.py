"""Tests of ``rundlet copy``."""
