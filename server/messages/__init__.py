"""What both servers make of a request before the application sees it.

``checks`` refuses what two servers in a row could understand differently; ``refusals`` answers it
as the application answers errors.
"""
