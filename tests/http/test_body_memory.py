"""What decoding a body costs in memory: a small multiple of its size, whatever it holds.

A real server is asked over one connection, and its largest resident size is read, which counts
everything: the body as it was received, what was decoded, and what other libraries allocated.
"""
