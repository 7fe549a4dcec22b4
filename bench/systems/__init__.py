"""The servers to compare: ``catalogue`` names them, ``running`` starts each when it is needed."""
