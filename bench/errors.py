"""Errors that prevent a measurement."""


class NotMeasurable(Exception):  # without the suffix Error, like the store's own errors
    """An engine or a server cannot be measured here, so it is skipped; the message says why."""


class LoadFailed(Exception):  # as above
    """A server gave wrong answers or none; the message says what happened first."""
