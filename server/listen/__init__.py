"""Where the server listens.

``address`` binds the port, ``tls`` and ``certificate`` check the files of TLS before they are used.
"""
