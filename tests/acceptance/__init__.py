"""Test whole servers the way users use them."""
