"""Test with injected faults: of disks, processes, power, and with bugs planted in the code."""
