"""Clusters of engines under faults: `make test-cluster` runs these, `make test` does not."""
