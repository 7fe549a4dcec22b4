"""Care for the log store in a folder: look into it, verify it, repair it, restore it, remove it.

The work is done in ``log.check``, ``log.repair``, ``log.open`` and ``log.backup``; this module
offers it to the layers above. ``backing`` offers the taking of backups.
"""

from rundlet_server.storage.log.backup.choosing import choose
from rundlet_server.storage.log.backup.restoring import Restore, Restored
from rundlet_server.storage.log.check.inspection import Inspection, inspect
from rundlet_server.storage.log.check.opened import Problem
from rundlet_server.storage.log.check.verify import VerifyReport, verify
from rundlet_server.storage.log.open.alone import remove_unused
from rundlet_server.storage.log.repair.report import CameBack, Loss, LostVersion, RepairReport
from rundlet_server.storage.log.repair.run import repair

__all__ = [
    "CameBack",
    "Inspection",
    "Loss",
    "LostVersion",
    "Problem",
    "RepairReport",
    "Restore",
    "Restored",
    "VerifyReport",
    "choose",
    "inspect",
    "remove_unused",
    "repair",
    "verify",
]
