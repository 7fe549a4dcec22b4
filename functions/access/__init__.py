"""Which requests are admitted.

``hosts`` refuses names of other sites, ``cors`` admits web pages of allowed origins, ``admission``
authenticates and authorizes, ``routing`` finds the route of a request before Falcon does.
"""
