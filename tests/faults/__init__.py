"""Campaigns that inject faults: disks, processes, power, and bugs planted in the code."""
