"""Test the examples of the page about adapters, and the entry points that they need."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import tomllib

import pytest

from tests.support import PATIENCE_S, ROOT

PAGE = (ROOT / "docs/adapters.md").read_text()
BLOCKS = {
    re.search(r"^(?:from|import) (?!asyncio)(\w+)", block, re.MULTILINE)[1]: block
    for block in re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
}
PROJECT = tomllib.loads((ROOT / "client/pyproject.toml").read_text())["project"]
# A checkout may have been installed before there were these entry points.
REGISTERED = """
import importlib.util
if importlib.util.find_spec("fsspec"):
    import fsspec
    from rundlet.adapters.fsspec import RundletFileSystem
    fsspec.register_implementation("rundlet", RundletFileSystem, clobber=True)
if importlib.util.find_spec("dogpile"):
    from dogpile.cache import register_backend
    register_backend("rundlet", "rundlet.adapters.dogpile", "RundletBackend")
"""


@pytest.mark.parametrize("package", BLOCKS)
def test_an_example_works(package: str, server_url: str):
    pytest.importorskip(package)
    program = BLOCKS[package].replace("127.0.0.1:8000", server_url.removeprefix("http://"))

    ended = subprocess.run(
        [sys.executable, "-c", REGISTERED + program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )

    assert ended.returncode == 0, ended.stderr


def test_the_page_has_the_packages_that_people_know():
    assert set(BLOCKS) == {"pandas", "dask", "xarray", "django", "flask", "dogpile", "key_value"}


def test_entry_points_name_what_there_is():
    for points in PROJECT["entry-points"].values():
        for target in points.values():
            module, _, name = target.partition(":")
            pytest.importorskip(module.rpartition(".")[2])
            assert hasattr(importlib.import_module(module), name)


def test_each_adapter_is_an_extra_that_the_page_names():
    for extra in PROJECT["optional-dependencies"]:
        assert (ROOT / f"rundlet/adapters/{extra}.py").is_file()
        assert f"`{extra}`" in PAGE or f"[{extra}]" in PAGE
