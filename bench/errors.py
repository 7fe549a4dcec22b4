"""What can keep something from being measured."""


class NotMeasurable(Exception):  # says what is the case, like the store's own errors
    """An engine or a server cannot be measured here; the message says why. It is skipped."""


class LoadFailed(Exception):  # as above
    """A server gave wrong answers or none; the message says which came first."""
