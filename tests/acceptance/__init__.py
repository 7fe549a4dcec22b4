"""Whole servers, as their users meet them."""
