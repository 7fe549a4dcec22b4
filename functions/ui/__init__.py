"""The dashboard at ``/ui/``: static files that browsers run, and the resources that serve them.

``static/`` has the page, its ES modules and its style sheets, one folder for each part of the
dashboard. They are served as they are: there is no build step. The dashboard uses the public API
alone, so it can do what the token of its user can do, and nothing else.
"""
