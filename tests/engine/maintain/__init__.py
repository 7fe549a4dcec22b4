"""Test checkpoints, compaction, retention and bulk loads."""
