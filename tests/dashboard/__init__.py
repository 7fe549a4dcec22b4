"""Test the dashboard: its files over HTTP, and the page in a real Chromium on real servers."""
