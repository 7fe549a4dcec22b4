"""Questions about engines in this process: a file each."""
