"""Tests of the feed of the log store."""
