"""``rundlet serve``: run the server.

``command`` is the command, ``options`` are its options, ``environ`` warns of misspelt variables.
"""
