"""Child processes that always end: each has a time limit, and a process group of its own that is
killed with everything in it when the time is up, when we are interrupted, and when it is done."""

import os
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class CannotRun(Exception):
    """Something is missing. The text says what, and what to do."""


# Settings of the caller's own OpenBao are not for the tests.
PRIVATE = ("OPENBAO_", "BAO_", "VAULT_", "HASHICORP_", "TENANT_", "SECRET_URI_")


def environment(extra=None):
    merged = {key: value for key, value in os.environ.items() if not key.startswith(PRIVATE)}
    # The children write into a pipe, so they can't see the terminal themselves.
    merged.setdefault("CARGO_TERM_COLOR", "always" if sys.stdout.isatty() else "never")
    merged.update(extra or {})
    return merged


def run(command, *, timeout, env=None, cwd=ROOT, quiet=False):
    """Runs the command without standard input. Returns (exit status, what it printed); the status
    is None where the time was up. Prints along, unless quiet."""
    command = [str(word) for word in command]
    if not quiet:
        shown = [f"{key}={shlex.quote(value)}" for key, value in (env or {}).items() if key != "PATH"]
        print("$ " + " ".join(shown + [shlex.quote(word) for word in command]), flush=True)
    child = _start(command, env, cwd, subprocess.PIPE)
    late = threading.Event()

    def time_is_up():
        late.set()
        _kill(child)

    timer = threading.Timer(timeout, time_is_up)
    timer.start()
    lines = []
    try:
        for line in child.stdout:
            lines.append(line)
            if not quiet:
                print(line, end="", flush=True)
        status = child.wait()
    finally:
        timer.cancel()
        _kill(child)
    if late.is_set():
        print(f"ended after {timeout} s: its time was up", flush=True)
        status = None
    return status, "".join(lines)


@contextmanager
def server(command, *, env=None):
    """Keeps the command running, and yields (process, its log file)."""
    with tempfile.NamedTemporaryFile(mode="w+", suffix=".log") as log:
        child = _start([str(word) for word in command], env, ROOT, log)
        try:
            yield child, Path(log.name)
        finally:
            _kill(child)


def _start(command, env, cwd, output):
    try:
        return subprocess.Popen(
            command,
            cwd=cwd,
            env=environment(env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise CannotRun(f"{command[0]} can't be started: {error.strerror}") from error


def _kill(child):
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass  # Nobody of the group is left; some systems answer with a permission error for that.
    if child.poll() is None:
        child.wait()
