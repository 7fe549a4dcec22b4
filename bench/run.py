"""Run the benchmarks and write the report: ``python -m bench.run [--scale small]``."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import time

from bench import machine, report
from bench.places import RAW_NAME, REPORT, ROOT
from bench.results import Results
from bench.scale import SCALES, VARIABLE


def main(arguments: list[str] | None = None) -> int:
    """Run the chosen benchmarks; return 1 if one of them failed, else 0."""
    parser = argparse.ArgumentParser(prog="bench.run", description=__doc__)
    default = os.environ.get(VARIABLE, "full")
    parser.add_argument(
        "--scale", choices=tuple(SCALES), default=default, help="sizes of the run (%(default)s)"
    )
    parser.add_argument(
        "-k", dest="chosen", default="", help="run only benchmarks whose name matches"
    )
    options = parser.parse_args(arguments)
    shutil.rmtree(REPORT, ignore_errors=True)
    REPORT.mkdir(parents=True)
    properties = machine.describe(REPORT, SCALES[options.scale])
    began_s = time.monotonic()
    code = _measure(options.scale, options.chosen)
    properties["scale"] = options.scale
    properties["command"] = shlex.join(["python", "-m", "bench.run", *sys.argv[1:]])
    properties["run took"] = f"{time.monotonic() - began_s:.0f} s"
    properties["load average after"] = machine.load_average()
    if not (REPORT / RAW_NAME).exists() or not (REPORT / RAW_NAME).stat().st_size:
        print("no benchmark ran; check the name after -k", file=sys.stderr)
        return 1
    verdicts = report.write(REPORT, Results.read(REPORT / RAW_NAME), properties)
    print(*report.verdict_lines(verdicts), sep="\n")
    if not SCALES[options.scale].gives_figures:
        print(f"the scale {options.scale} only shows that everything runs: its figures say nothing")
    print(f"wrote {(REPORT / 'report.md').relative_to(ROOT)}")
    return min(code, 1)


def _measure(scale: str, chosen: str) -> int:
    command = [sys.executable, "-m", "pytest", "-c", "bench/pytest.ini", "bench"]
    command += ["--rootdir", ".", f"--benchmark-json={REPORT / RAW_NAME}"]
    command += ["-k", chosen] if chosen else []
    environment = os.environ | {VARIABLE: scale}
    # Without bytecode each command that a question starts would compile its modules again.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
