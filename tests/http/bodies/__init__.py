"""Test the bodies of requests for many keys: what is accepted, and what decoding costs."""
