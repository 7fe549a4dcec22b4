"""The server and the command line of Rundlet, as they are installed.

In the repository ``cli``, ``functions``, ``server`` and ``storage`` are top-level folders, and this
package links to them; in the wheel they are folders of this package. So the server adds one name
to site-packages, and no other package's ``cli`` or ``storage`` gets in its way.
"""
