"""The dashboard at ``/ui/``: static files that browsers run, and the resources that serve them.

``static/`` has the page, its ES modules and its style sheets, one folder for each part of the
dashboard. The server sends them unchanged: there is no build step. The dashboard uses only the
public API, so it can do only what the token of its user permits.
"""
