"""The ``Store`` protocol in sentences, by its words: every backend keeps each of these."""
