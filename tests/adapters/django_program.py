"""Run Django's tests for every cache on the backend; a process of its own has Django's settings.

usage: django_program.py FOLDER-OF-DJANGOS-TESTS ADDRESS [CODEC]
"""

from __future__ import annotations

import sys

import django
from django.conf import settings

sys.path.insert(0, sys.argv[1])
CACHE = {
    "BACKEND": "rundlet.adapters.django.RundletCache",
    "LOCATION": sys.argv[2],
}
settings.configure(
    CACHES={"default": CACHE},
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    INSTALLED_APPS=["cache"],
    SECRET_KEY="of a test",
    USE_TZ=False,
)
django.setup()

from cache.tests import BaseCacheTests, caches_setting_for_tests  # noqa: E402 - after set-up
from django.test import TestCase, override_settings  # noqa: E402
from django.test.runner import DiscoverRunner  # noqa: E402

NOT_CULLED = {"cull", "zero_cull"}  # the server has no maximum number of keys


@override_settings(CACHES=caches_setting_for_tests(base=CACHE, exclude=NOT_CULLED))
class RundletCacheTests(BaseCacheTests, TestCase):
    """All tests that Django has for every cache."""


if __name__ == "__main__":
    sys.modules["django_program"] = sys.modules["__main__"]
    sys.exit(DiscoverRunner().run_tests(["django_program"]))
