"""The command line ``rundlet``.

In reading order: ``main`` joins the commands and turns errors into one line; ``exits`` says
which error leads to which exit code; ``place`` finds the server or folder that a command works
on, a ``target``: the client as it is, or ``folder``.

One module per help group, each with an app ``commands`` that ``main`` joins: ``data`` (one key),
``many`` (many keys) and ``transfer`` (files) for *Data*, ``serve`` for *Server*, ``care`` and
``bench`` for *Care*. They print through ``terminal`` and ``progress``, and read files through
``formats``, ``jsonlines`` and ``loading``.
"""
