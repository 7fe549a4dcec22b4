"""Who may do what.

``hosts`` refuses names of other sites, ``cors`` lets web pages of allowed origins in, ``admission``
authenticates and authorizes, ``routing`` finds the route of a request before Falcon does.
"""
