"""Tests of requests that are decided by what came before them: conditions, idempotency keys."""
