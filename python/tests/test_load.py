"""Many calls: one log-in for a thousand, flat memory over ten thousand, a quick import."""

import asyncio
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import app_role

from baokit import AsyncClient, Client
from baokit.testing import DevServer

URI = "openbao+kv2://secret/load"
CALLS = 10_000
CANCELLED = 2000


def log_ins(server):
    return sum(it.target == "/v1/auth/approle/login" for it in server.requests)


@pytest.fixture
def role(baokit_server):
    role = app_role(baokit_server.url)
    with Client(**role) as client:
        client.write(URI, {"a": "x" * 1000})
    baokit_server.clear_requests()
    return role


def test_a_thousand_first_calls_of_asyncio(baokit_server, role):
    async def run():
        async with AsyncClient(**role) as client:
            return await asyncio.gather(*(client.read(URI) for _ in range(1000)))

    assert {it.version for it in asyncio.run(run())} == {1}
    assert (log_ins(baokit_server), len(baokit_server.requests)) == (1, 1001)


def test_a_thousand_first_calls_of_threads(baokit_server, role):
    with Client(**role) as client, ThreadPoolExecutor(1000) as pool:
        assert {it.version for it in pool.map(client.read, [URI] * 1000)} == {1}
    assert (log_ins(baokit_server), len(baokit_server.requests)) == (1, 1001)


def resident():
    """Resident memory in KiB."""
    text = Path("/proc/self/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="resident memory is read from /proc")
@pytest.mark.parametrize("kind", ["blocking", "asyncio", "errors"])
def test_memory_stays_flat(kind):
    """In a process of its own, with the server in another: its log of requests grows."""
    with DevServer() as server:
        role = app_role(server.url)
        with Client(**role) as client:
            client.write(URI, {"a": "x" * 1000})
        done = subprocess.run(
            [sys.executable, "-c", f"import test_load; test_load.measure({kind!r}, {role!r})"],
            cwd=Path(__file__).parent, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    before, after = map(int, done.stdout.split())
    print(f"\nmemory of {CALLS} calls, {kind}: {before} KiB, then {after} KiB")
    assert after - before < 2048


async def cancelled(client, server, count):
    """So many calls that are sent, and cancelled before they are answered; `server` is a Queue of what happens there."""
    for _ in range(count // 10):
        tasks = [asyncio.create_task(client.read(URI)) for _ in range(10)]
        for event in ["asked"] * 10:
            assert await asyncio.wait_for(server.get(), 10) == event
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(end, asyncio.CancelledError) for end in ends)
        for event in ["left"] * 10:
            assert await asyncio.wait_for(server.get(), 10) == event


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="resident memory is read from /proc")
def test_memory_stays_flat_over_cancelled_calls():
    program = "import asyncio, test_load; asyncio.run(test_load.measure_cancelled())"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=Path(__file__).parent, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    before, after = map(int, done.stdout.split())
    print(f"\nmemory of {CANCELLED} cancelled calls: {before} KiB, then {after} KiB")
    assert after - before < 2048


async def measure_cancelled():
    events = asyncio.Queue()

    async def never_answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        await events.put("asked")
        try:
            await reader.read()
        except ConnectionError:
            pass
        writer.close()
        await events.put("left")

    server = await asyncio.start_server(never_answer, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with AsyncClient(url=f"http://{host}:{port}", token="t", allowed_mounts=["secret"]) as client:
        await cancelled(client, events, 1000)
        before = resident()
        await cancelled(client, events, CANCELLED)
        print(before, resident())
    server.close()


def measure(kind, role):
    if kind == "asyncio":
        async def some(count):
            async with AsyncClient(**role) as client:
                for _ in range(count // 20):
                    await asyncio.gather(*(client.read(URI) for _ in range(20)))

        asyncio.run(some(2000))
        before = resident()
        asyncio.run(some(CALLS))
    else:
        client = Client(**role)

        def some(count):
            for _ in range(count):
                if kind == "blocking":
                    assert len(client.read(URI).expose()["a"]) == 1000
                else:
                    try:
                        client.write(URI, {"a": [object()]})
                    except TypeError:
                        pass
                    try:
                        client.read("openbao+kv2://another/x")
                    except Exception as error:
                        assert error.code == "TENANT_MOUNT_MISMATCH"

        some(2000)
        before = resident()
        some(CALLS)
    print(before, resident())


def test_the_import_is_quick():
    """At most half of hvac's, each the best of several fresh processes, without Python's own start."""
    pytest.importorskip("hvac", reason="hvac is what it is compared with")
    program = "import sys, time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"

    def best(name):
        runs = [subprocess.run([sys.executable, "-c", program.format(name)], capture_output=True, text=True, check=True)
                for _ in range(7)]
        return min(float(run.stdout) for run in runs)

    ours, theirs = best("baokit"), best("hvac")
    print(f"\nimport baokit {ours * 1000:.1f} ms, import hvac {theirs * 1000:.1f} ms: ratio {ours / theirs:.2f}")
    assert ours <= theirs / 2
