#!/usr/bin/env python3
"""Plays the county service of the Friday story, through the Python client. `ops burst` plays the same.

An open loop of call starts, ten a second whatever the calls take. They take about 110 ms each, until the
Friday-only docket rule goes live (the flag file `$OPS_DATA/docket_rule` says `on`) and they take 1 500 ms.
The rollback script flips the flag back to `off`; this program sees it, and the calls are fast again: the
recovery on the board is real. A call is a sleep with a few per cent of spread, so that the story needs no
county; everything about it is measured and reported as a real service would.

    python3 clients/python/send_burst.py

Exit codes: 0 rolled back, 1 no rollback came, 2 wrong arguments, 3 nothing listens or the folder is not writable.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import socket
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import hms_ops_client as ops

METRIC = "county_api_ms"
CALL_EVERY_SECONDS = 0.1
# Slow calls of 1.5 s started ten a second: fifteen are under way at once.
THREADS = 20
HEALTHY_SECONDS, SLOW_SECONDS = 0.110, 1.500
# A call differs from the next by up to 5 % either way, by its number alone.
SPREAD = 0.1
ROOT = pathlib.Path(__file__).resolve().parents[2]


def main():
    options = arguments()
    flag = Flag(pathlib.Path(options.data) / "docket_rule")
    try:
        flag.set("off")
    except OSError as error:
        print("%s: not writable: %s; set OPS_DATA to the lab's data folder" % (options.data, error), file=sys.stderr)
        return 3
    if not listening(options.url):
        print("nothing listens on %s: start `ops lab` first" % options.url, file=sys.stderr)
        return 3
    ops.configure(url=options.url, flush_seconds=0.5, exit_seconds=5)
    with concurrent.futures.ThreadPoolExecutor(THREADS) as county:
        story = Story(flag, county)
        story.play("healthy", options.healthy)
        flag.set("on")
        say("the Friday-only docket rule is live: calls take 1 500 ms")
        began = time.monotonic()
        story.play("slow", options.slow_max, while_on=True)
        rolled_back = not flag.is_on()
        if rolled_back:
            say("rolled back after %d s of slow calls" % (time.monotonic() - began))
            story.play("recovered", options.recovered)
        else:
            flag.set("off")
    ops.flush(10)
    if not rolled_back:
        say("no rollback within %d s: %s" % (options.slow_max, why_no_rollback(options.url)))
        return 1
    say("%d calls reported to %s" % (ops.stats()["sent"], options.url))
    return 0


class Story:
    """Starts calls on time, however long the ones before it take."""

    def __init__(self, flag, county):
        self.flag, self.county = flag, county
        self.count = 0
        self.next_start = time.monotonic()

    def play(self, phase, seconds, while_on=False):
        end = time.monotonic() + seconds
        while time.monotonic() < end and (self.flag.is_on() or not while_on):
            time.sleep(max(0.0, self.next_start - time.monotonic()))
            self.next_start += CALL_EVERY_SECONDS
            self.count += 1
            self.county.submit(call_county, call_seconds(self.flag.is_on(), self.count))
            if sys.stderr.isatty() and self.count % 5 == 0:
                left = max(0.0, end - time.monotonic())
                sys.stderr.write("\r%s: %d calls, %d s left \033[K" % (phase, self.count, left))
        if sys.stderr.isatty():
            sys.stderr.write("\r\033[K")


def call_county(seconds):
    """One measured call of the county's API."""
    with ops.timer(METRIC):
        time.sleep(seconds)


def call_seconds(slow, number):
    """How long the call of this number takes."""
    spread = ((number * 0x9E3779B97F4A7C15 % 2**64) >> 40) / 2**24 - 0.5
    return (SLOW_SECONDS if slow else HEALTHY_SECONDS) * (1 + SPREAD * spread)


class Flag:
    """The file whose word makes calls slow; the rollback script rewrites it."""

    def __init__(self, path):
        self.path = path

    def set(self, word):
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.path.with_suffix(".new")
        fresh.write_text(word + "\n", encoding="utf-8")
        os.replace(fresh, self.path)

    def is_on(self):
        try:
            return self.path.read_text(encoding="utf-8").strip() == "on"
        except OSError:
            return False


def why_no_rollback(url):
    """The last thing the desk said about a rollback."""
    query = urllib.parse.urlencode({"metric": METRIC})
    try:
        with urllib.request.urlopen("%s/api/events?%s" % (url, query), timeout=5) as answer:
            events = json.load(answer).get("events", [])
    except (OSError, ValueError, AttributeError):
        return "%s does not answer" % url
    last = next((event for event in events if event.get("kind") == "rollback"), None)
    if last:
        why = last.get("why") or last.get("detail") or "no reason given"
        return "the last word was %s (%s)" % (last.get("state", "?"), why)
    if events:
        return "the alert fired, but nothing was proposed; does its rule name a plan?"
    return "no alert for %s; is its rule in force?" % METRIC


def listening(url):
    parts = urllib.parse.urlsplit(url)
    try:
        socket.create_connection((parts.hostname, parts.port or 80), timeout=3).close()
        return True
    except OSError:
        return False


def say(text):
    print(text, file=sys.stderr, flush=True)


def arguments():
    parser = argparse.ArgumentParser(description="Plays the county service of the Friday story.")
    parser.add_argument("--url", default=os.environ.get("OPS_URL") or ops.DEFAULT_URL, help="where the collector listens")
    parser.add_argument("--data", default=os.environ.get("OPS_DATA") or str(ROOT / "data"), help="data folder of the lab")
    parser.add_argument("--healthy", type=float, default=20, help="seconds of healthy calls first (20)")
    parser.add_argument("--recovered", type=float, default=25, help="seconds of healthy calls after the rollback (25)")
    parser.add_argument("--slow-max", type=float, default=90, help="seconds of slow calls without a rollback before giving up (90)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
