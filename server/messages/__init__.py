"""The checks that both servers make before the application gets a request.

``checks`` refuses requests that two servers in a row could interpret differently; ``refusals``
makes their answers, which look like the errors of the application.
"""
