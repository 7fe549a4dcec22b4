"""Test the source and the documents themselves: layout, links, commands, benchmarks."""
