"""Adapters that let other packages store their data in Rundlet: one module for each package."""
