"""Test that the samples in ``deploy/`` do what they say, with the tools that their readers use."""
