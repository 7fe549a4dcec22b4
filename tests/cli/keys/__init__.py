"""Test the commands on keys that are more than get and set, and the prompt for all of them."""
