"""HTTP byte for byte, and other things that go over a wire."""
