"""Granian's workers: the event loop, and the signals of the process that starts them."""
