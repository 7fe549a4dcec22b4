"""What a process tells its operator, and how often it repeats itself."""
