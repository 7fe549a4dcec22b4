"""Simple models of the store, with which tests compare the product."""
