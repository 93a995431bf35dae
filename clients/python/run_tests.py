#!/usr/bin/env python3
"""Runs all tests of the Python client, with the Python it is started with; standard library only.

The tests talk to the real collector, alone on a bus in memory: `pipeline/collector/examples/collect_only.rs`.
It is built here unless OPS_COLLECT_ONLY names the program.
"""

import json
import os
import pathlib
import subprocess
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent


def collect_only():
    """Builds the collector for tests and returns the path of the program."""
    command = [os.environ.get("CARGO", "cargo"), "build", "-p", "collector", "-p", "hms-ops"]
    command += ["--example", "collect_only", "--message-format", "json"]
    built = subprocess.run(command, cwd=HERE.parents[1], stdout=subprocess.PIPE, check=True)
    for line in built.stdout.decode().splitlines():
        message = json.loads(line)
        if message.get("executable") and message["target"]["name"] == "collect_only":
            return message["executable"]
    sys.exit("cargo did not say where collect_only is")


def main():
    os.environ["OPS_COLLECT_ONLY"] = os.environ.get("OPS_COLLECT_ONLY") or collect_only()
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(HERE))
    suite = unittest.defaultTestLoader.discover(str(HERE / "tests"), top_level_dir=str(HERE))
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    return 0 if result.wasSuccessful() and result.testsRun else 1


if __name__ == "__main__":
    sys.exit(main())
