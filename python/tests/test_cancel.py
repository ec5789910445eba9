"""Whoever stops waiting leaves no request behind: the server sees the connection close."""

import asyncio
import logging
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from baokit import AsyncClient, CallerError, Client

URI = "openbao+kv2://secret/cancel"
# Long enough for a busy machine; nothing here waits that long if it works.
LIMIT = 10


def test_cancelling_a_task(silent):
    async def run():
        async with AsyncClient(url=silent.url, token="t", allowed_mounts=["secret"]) as client:
            for call in (lambda: client.read(URI), lambda: client.write(URI, {"a": 1}), lambda: client.lookup_self()):
                silent.asked.clear()
                silent.left.clear()
                task = asyncio.create_task(call())
                assert await asyncio.to_thread(silent.asked.wait, LIMIT)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert await asyncio.to_thread(silent.left.wait, LIMIT), "the request is still running"

    asyncio.run(run())


def test_a_timeout_of_asyncio(silent):
    async def run():
        async with AsyncClient(url=silent.url, token="t", allowed_mounts=["secret"]) as client:
            task = asyncio.create_task(client.read(URI))
            # The time runs from here on: a request that was never sent could not be seen to end.
            assert await asyncio.to_thread(silent.asked.wait, LIMIT)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(task, 0.05)
            assert task.cancelled()
            assert await asyncio.to_thread(silent.left.wait, LIMIT)

    asyncio.run(run())


def test_cancelling_before_it_began(baokit_server):
    async def run():
        async with AsyncClient.from_env(baokit_server.env) as client:
            task = asyncio.create_task(client.read(URI))
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(run())
    assert baokit_server.requests == []


def test_ctrl_c(silent):
    """SIGINT to a program that waits in a call: KeyboardInterrupt at once, and the request is gone."""
    program = f"""
import time
from baokit import Client
client = Client(url={silent.url!r}, token="t", allowed_mounts=["secret"])
try:
    client.read({URI!r})
except KeyboardInterrupt:
    print("interrupted", flush=True)
    time.sleep(60)
"""
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    try:
        assert silent.asked.wait(LIMIT)
        start = time.monotonic()
        child.send_signal(signal.SIGINT)
        assert child.stdout.readline() == "interrupted\n"
        took = time.monotonic() - start
        # The program still runs: it is not its end that closes the connection.
        assert silent.left.wait(LIMIT) and child.poll() is None
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
    print(f"\nCtrl-C was answered after {took * 1000:.0f} ms")
    assert took < 1


def test_a_signal_handler_that_returns(silent):
    """The call goes on after it."""
    seen = []
    before = signal.signal(signal.SIGUSR1, lambda *_: seen.append(time.monotonic()))
    try:
        timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGUSR1))
        timer.start()
        start = time.monotonic()
        with Client(url=silent.url, token="t", timeout=1) as client, pytest.raises(Exception) as caught:
            client.lookup_self()
        assert caught.value.code == "DEADLINE_EXCEEDED"
        assert seen and 0.1 < seen[0] - start < 0.9
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_other_threads_run_meanwhile(silent):
    """The interpreter lock is released while a call waits."""
    ticks = 0
    with Client(url=silent.url, token="t", timeout=1) as client:
        thread = threading.Thread(target=lambda: pytest.raises(Exception, client.lookup_self))
        thread.start()
        while thread.is_alive():
            ticks += 1
            time.sleep(0.001)
    assert ticks > 100


def test_closing_ends_what_is_under_way(silent):
    with Client(url=silent.url, token="t", timeout=3 * LIMIT) as client:
        timer = threading.Timer(0.3, client.close)
        timer.start()
        start = time.monotonic()
        with pytest.raises(CallerError) as caught:
            client.lookup_self()
        assert caught.value.code == "CLIENT_CLOSED"
        # Core looks at the end of an attempt, which has 5 s.
        assert time.monotonic() - start < LIMIT


@pytest.mark.parametrize("program", [
    # A thread that waits while the program ends.
    "import threading; threading.Thread(target=client.lookup_self, daemon=True).start(); time.sleep(0.3)",
    # A task that waits while its loop ends.
    """
async def main():
    task = asyncio.create_task(other.lookup_self())
    await asyncio.sleep(0.3)
asyncio.run(main())
""",
    # A loop that is closed over a call.
    """
loop = asyncio.new_event_loop()
task = loop.create_task(other.lookup_self())
loop.run_until_complete(asyncio.sleep(0.3))
loop.close()
task._log_destroy_pending = False
del task
""",
])
def test_a_program_that_ends_during_a_call(silent, program):
    head = f"""
import asyncio, time
from baokit import AsyncClient, Client
client = Client(url={silent.url!r}, token="t")
other = AsyncClient(url={silent.url!r}, token="t")
"""
    done = subprocess.run([sys.executable, "-c", head + program], capture_output=True, text=True, timeout=LIMIT)
    assert (done.returncode, done.stderr) == (0, "")


def test_programs_end_well_after_calls_of_asyncio(baokit_server):
    """Threads of Rust that are inside the interpreter when it ends would bring the process down."""
    program = f"""
import asyncio
from baokit import AsyncClient
async def main():
    async with AsyncClient.from_env({baokit_server.env!r}) as client:
        await asyncio.gather(*(client.lookup_self() for _ in range(60)))
asyncio.run(main())
"""
    for _ in range(25):
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=LIMIT)
        assert (done.returncode, done.stderr) == (0, "")


def test_calls_while_the_program_ends(baokit_server):
    """In a handler of atexit a blocking call still works; one of asyncio is an error and no hang."""
    program = f"""
import asyncio, atexit
def last():
    client.lookup_self()
    try:
        asyncio.run(other.lookup_self())
    except RuntimeError as error:
        print(error)
atexit.register(last)
from baokit import AsyncClient, Client
client, other = Client.from_env({baokit_server.env!r}), AsyncClient.from_env({baokit_server.env!r})
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=LIMIT)
    assert (done.returncode, done.stderr) == (0, "")
    assert "the program is ending" in done.stdout


def test_threads_tasks_and_debug_logs_at_once(baokit_server, caplog):
    """Whoever waits must not hold the interpreter lock: with logs, both kinds of client and threads."""
    caplog.set_level(logging.DEBUG, "baokit")

    async def run():
        async with AsyncClient.from_env(baokit_server.env) as client:
            for _ in range(10):
                await asyncio.gather(*(client.lookup_self() for _ in range(20)))

    with Client.from_env(baokit_server.env) as client:
        work = [lambda: [client.lookup_self() for _ in range(100)], lambda: asyncio.run(run())] * 4
        threads = [threading.Thread(target=it, daemon=True) for it in work]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()
    assert len(baokit_server.requests) == 4 * (100 + 200)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork")
def test_a_fork(baokit_server):
    """A child gets a runtime of its own; its parent's client is refused, and goes on in the parent."""
    program = f"""
import asyncio, os, sys
from baokit import AsyncClient, CallerError, Client
env = {baokit_server.env!r}
client = Client.from_env(env)
client.lookup_self()
child = os.fork()
if child == 0:
    try:
        client.lookup_self()
    except CallerError as error:
        assert error.code == "CLIENT_CLOSED", error
    else:
        os._exit(2)
    with Client.from_env(env) as fresh:
        fresh.write({URI!r}, {{"a": 1}})
    async def main():
        async with AsyncClient.from_env(env) as fresh:
            assert (await fresh.read({URI!r})).expose() == {{"a": 1}}
    asyncio.run(main())
    os._exit(0)
_, status = os.waitpid(child, 0)
client.lookup_self()
sys.exit(os.waitstatus_to_exitcode(status))
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, timeout=2 * LIMIT)
    assert (done.returncode, done.stderr) == (0, "")
