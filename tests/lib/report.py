"""Counts what passed and failed in each part, and prints the summary."""

import re
import sys
import time

from children import CannotRun, run

LIBTEST = re.compile(r"^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored", re.MULTILINE)
FAILED_TEST = re.compile(r"^test (.+) \.\.\. FAILED", re.MULTILINE)
# Maven's test runner: the line of a whole run, which unlike a class's says no time.
SUREFIRE = re.compile(r"^\[\w+\] Tests run: (\d+), Failures: (\d+), Errors: (\d+), Skipped: (\d+)$", re.MULTILINE)
SUREFIRE_FAILED = re.compile(r"^\[ERROR\] (.+) -- Time elapsed: .* <<< (?:FAILURE|ERROR)!$", re.MULTILINE)
# The last line of pytest -q, and the lines of what failed.
PYTEST = re.compile(r"^(?=.* in [\d.]+s)(.*\d (?:passed|failed|skipped|error).*)$", re.MULTILINE)
PYTEST_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)
TAP = re.compile(r"^# (pass|fail|cancelled|skipped) (\d+)$", re.MULTILINE)
TAP_FAILED = re.compile(r"^not ok \d+ - (.+)$", re.MULTILINE)
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# Long enough for a cold build on a slow machine, short enough that nothing hangs for good.
LIMIT = 1800


def paint(text, colour):
    return f"\x1b[{colour}m{text}\x1b[0m" if sys.stdout.isatty() else text


class Part:
    """One part while it runs. A part calls `check` and `libtest`; the rest is for this file."""

    def __init__(self, name):
        self.name, self.passed, self.failed, self.skipped, self.seconds = name, 0, 0, 0, 0.0
        self.reasons = []

    def check(self, title, command, *, timeout=LIMIT, expect=None, **options):
        """A command that counts as one test: it must exit with 0, and what it prints must satisfy
        `expect`, which returns what is wrong, or nothing. Returns whether it passed."""
        status, text = run(command, timeout=timeout, **options)
        if status == 0:
            return self.verdict(title, expect(text) if expect else None)
        return self.verdict(title, "its time was up" if status is None else f"exit status {status}")

    def verdict(self, title, wrong=None):
        """Counts one test: passed, unless something is wrong."""
        if wrong:
            self.failed += 1
            self.reasons.append(f"{title}: {wrong}")
            print(paint(f"not ok: {title}: {wrong}", 31), flush=True)
        else:
            self.passed += 1
            print(paint(f"ok: {title}", 32), flush=True)
        return not wrong

    def libtest(self, title, command, *, timeout=LIMIT, **options):
        """Rust's test harness: each of its tests counts."""
        status, text = run(command, timeout=timeout, **options)
        text = COLOUR.sub("", text)
        results = [tuple(map(int, found)) for found in LIBTEST.findall(text)]
        passed, failed, skipped = (sum(column) for column in zip(*results)) if results else (0, 0, 0)
        self.passed, self.skipped = self.passed + passed, self.skipped + skipped
        if failed:
            self.failed += failed
            self.reasons.append(f"{title}: {failed} failed: {', '.join(FAILED_TEST.findall(text)[:10])}")
        elif status != 0:
            # It did not compile, a test process died, or the time was up.
            self.verdict(title, "its time was up" if status is None else f"exit status {status}, and no test is named")

    def surefire(self, title, command, *, timeout=LIMIT, **options):
        """Tests of the JVM under Maven: each of them counts."""
        status, text = run(command, timeout=timeout, **options)
        text = COLOUR.sub("", text)
        found = [tuple(map(int, counts)) for counts in SUREFIRE.findall(text)]
        total, failures, errors, skipped = (sum(column) for column in zip(*found)) if found else (0, 0, 0, 0)
        failed = failures + errors
        self.passed, self.skipped = self.passed + total - failed - skipped, self.skipped + skipped
        if failed:
            self.failed += failed
            self.reasons.append(f"{title}: {failed} failed: {', '.join(SUREFIRE_FAILED.findall(text)[:10])}")
        elif status != 0 or not total:
            # It did not compile, the JVM died, or the time was up.
            self.verdict(title, "its time was up" if status is None else f"exit status {status}, and no test is named")

    def pytest(self, title, command, *, timeout=LIMIT, **options):
        """Python's tests under pytest: each of them counts, and a set-up that failed is a failure."""
        status, text = run(command, timeout=timeout, **options)
        text = COLOUR.sub("", text)
        last = (PYTEST.findall(text) or [""])[-1]
        count = lambda word: sum(map(int, re.findall(rf"(\d+) {word}", last)))
        failed = count("failed") + count("error")
        self.passed, self.skipped = self.passed + count("passed"), self.skipped + count("skipped")
        if failed:
            self.failed += failed
            self.reasons.append(f"{title}: {failed} failed: {', '.join(PYTEST_FAILED.findall(text)[:10])}")
        elif status != 0 or not count("passed"):
            # It could not begin, the interpreter died, or the time was up.
            self.verdict(title, "its time was up" if status is None else f"exit status {status}, and no test is named")

    def tap(self, title, command, *, timeout=LIMIT, **options):
        """Tests of Node, reported in TAP: each of them counts."""
        status, text = run(command, timeout=timeout, **options)
        counts = {name: int(count) for name, count in TAP.findall(text)}
        failed = counts.get("fail", 0) + counts.get("cancelled", 0)
        self.passed, self.skipped = self.passed + counts.get("pass", 0), self.skipped + counts.get("skipped", 0)
        if failed:
            self.failed += failed
            self.reasons.append(f"{title}: {failed} failed: {', '.join(TAP_FAILED.findall(text)[:10])}")
        elif status != 0 or not counts.get("pass"):
            # It did not start, or the time was up.
            self.verdict(title, "its time was up" if status is None else f"exit status {status}, and no test is named")

    def run(self, body):
        started = time.monotonic()
        print(paint(f"\n== {self.name}: {body.__doc__.splitlines()[0]}", 1), flush=True)
        try:
            body(self)
        except CannotRun as error:
            self.verdict(self.name, str(error))
        self.seconds = time.monotonic() - started
        if self.passed + self.failed + self.skipped == 0:
            self.verdict(self.name, "no test ran")

    def line(self):
        counts = f"{self.passed} passed, {self.failed} failed"
        return counts + (f", {self.skipped} skipped" if self.skipped else "")


def summary(parts):
    """Prints the table and the last line. Returns the exit status."""
    print(paint("\n== summary", 1))
    for part in parts:
        print(paint(f"{part.name:<12} {part.seconds:7.1f} s   {part.line()}", 31 if part.failed else 32))
    for part in parts:
        for reason in part.reasons:
            print(f"  {part.name}: {reason.splitlines()[0]}")
        if part.failed:
            print(f"  again, alone: tests/run {part.name}")
    total = Part("all")
    for part in parts:
        total.passed, total.failed, total.skipped = (
            total.passed + part.passed, total.failed + part.failed, total.skipped + part.skipped)
    print(total.line(), flush=True)
    return 1 if total.failed else 0
