"""Test what operators see: metrics, log lines and readiness."""
