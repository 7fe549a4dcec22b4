"""A real browser for tests: headless Chromium over its DevTools protocol, through a pipe."""
