"""The code and the documents themselves: layout, links, commands, benchmarks."""
