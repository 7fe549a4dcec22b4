"""The address at which the server listens.

``address`` binds the port; ``tls`` and ``certificate`` check the TLS files before they are used.
"""
