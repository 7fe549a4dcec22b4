"""Test what is answered before Falcon."""
