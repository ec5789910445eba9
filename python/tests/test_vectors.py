"""Runs the shared vectors through the public calls, against the flow server, which compares."""

import asyncio
import http.client
import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import baokit

ROOT = Path(__file__).resolve().parents[2]
# What a face may lack and this one has.
HAS = {"prefix", "ref", "provider", "expose_text", "files", "verify_tls", "tenant_code", "connect_errors", "token_calls"}
KEEP_QUIET = 120


@pytest.fixture(params=["python", "python-asyncio"])
def flow_server(request, tmp_path):
    """The flow server for this face: a function that posts to it. FLOW_SERVER names the program."""
    program = os.environ.get("FLOW_SERVER", ROOT / "target" / "debug" / "flow-server")
    if not Path(program).exists():
        pytest.fail("no flow server: cargo build -p baokit-vectors --bin flow-server, or set FLOW_SERVER")
    reports = Path(os.environ.get("VECTORS_REPORTS", tmp_path))
    report = reports / f"{request.param}.json"
    child = subprocess.Popen(
        [program, "--face", request.param, "--report", report, "--watch-stdin"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )
    try:
        port = int(child.stdout.readline().rsplit(":", 1)[1])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=KEEP_QUIET)

        def ask(method, path, body=None):
            connection.request(method, path, None if body is None else json.dumps(body))
            answer = connection.getresponse()
            text = answer.read()
            assert answer.status == 200, f"{method} {path}: {text[:500]}"
            return json.loads(text)

        yield request.param, ask, report
        connection.close()
        # It writes its report after the answer to /end.
        child.wait(timeout=KEEP_QUIET)
    finally:
        child.stdin.close()
        child.kill()
        child.wait()
        child.stdout.close()


def test_all_vectors(flow_server):
    face, ask, report = flow_server
    run = run_blocking if face == "python" else lambda case, env: asyncio.run(run_async(case, env))
    for case in ask("GET", "/cases")["cases"]:
        lacking = [need for need in case["needs"] if need not in HAS]
        if lacking:
            outcome = {"skipped": lacking[0]}
        elif case["kind"] in ("path", "tenant", "flow"):
            outcome = run(case, ask("POST", f"/cases/{case['id']}/start")["env"])
        else:
            outcome = {"results": [caught(PURE[case["kind"]], case)]}
        ask("POST", f"/cases/{case['id']}/finish", outcome)
    tally = ask("POST", "/end")
    print(f"\nvectors of {face}: {json.dumps(tally['kinds'])}; {report}")
    assert tally["kinds"], "the flow server knows no cases"
    assert not tally["failures"], "\n".join(map(str, tally["failures"][:20]))
    assert not tally["skipped"]
    assert sum(kind["missing"] for kind in tally["kinds"].values()) == 0


def failure(error):
    if isinstance(error, baokit.BaokitError):
        return {"code": error.code, "subject": error.subject}
    return {"code": "FOREIGN", "subject": f"{type(error).__name__}: {error}"}


def caught(call, *arguments):
    try:
        return call(*arguments)
    except Exception as error:
        return failure(error)


def uri(case):
    options = {"accept_legacy": case["legacy"], "mount": case["mount"]}
    if case["as"] != "secret":
        wildcard = case["as"] == "wildcard"
        return {"canonical": str(baokit.SecretPrefix.parse(case["input"], wildcard=wildcard, **options))}
    it = baokit.SecretUri.parse(case["input"], **options)
    parts = {name: getattr(it, name) for name in ("provider", "mount", "path", "fragment", "version")}
    return {"canonical": str(it), **parts}


def pointer(case):
    parse = baokit.SecretRef.parse if case["as"] == "ref" else baokit.SecretPointer.parse
    return {"canonical": str(parse(case["input"]))}


def config(case):
    return baokit.Client.describe_settings(case["env"], provider=case["provider"])


PURE = {"uri": uri, "pointer": pointer, "config": config}


def settings(case):
    return {"provider": case["provider"], **({"tenant_id": case["tenant"]} if case.get("tenant") is not None else {})}


def call(client, step):
    """The call that a step names: an answer of Client, a coroutine of AsyncClient."""
    match step["op"]:
        case "read" | "read_text":
            return client.read(step["uri"])
        case "write" | "rotate" as op:
            return getattr(client, op)(step["uri"], step["value"])
        case "delete" | "versions" as op:
            return getattr(client, op)(step["uri"])
        case "kv2_read":
            return client.kv2(step["mount"]).read(step["path"], step["version"])
        case "kv2_write":
            return client.kv2(step["mount"]).write(step["path"], step["value"], step["cas"])
        case "kv2_delete":
            return client.kv2(step["mount"]).delete(step["path"], step["versions"])
        case "kv2_versions":
            return client.kv2(step["mount"]).versions(step["path"])
        case "request":
            return client.request(step["method"], step["path"], step["body"])
        case "lookup_self":
            return client.lookup_self()
        case "renew_self":
            return client.renew_self(step["increment"])


# These answer at once in both clients.
AT_ONCE = {"close": lambda client, step: client.close(), "admit_prefix": lambda client, step: client.admit_prefix(step["uri"])}


def shown(step, answer):
    """An answer as the flow server reads it."""
    match step["op"]:
        case "read_text":
            return {"value": answer.expose_str()}
        case "read" | "kv2_read":
            fields = ("version", "created_time", "custom_metadata")
            return {"value": answer.expose(), **{name: getattr(answer, name) for name in fields}}
        case "request":
            return {"value": answer.expose()}
        case "versions" | "kv2_versions":
            fields = ("version", "created_time", "deletion_time", "destroyed")
            versions = [{name: getattr(it, name) for name in fields} for it in answer.versions]
            return {
                "current_version": answer.current_version,
                "custom_metadata": answer.custom_metadata,
                "versions": versions,
            }
    names = ("old_version", "new_version", "version", "created_time", "accessor", "policies", "ttl", "renewable",
             "num_uses", "lease_duration")
    return {name: getattr(answer, name) for name in names if hasattr(answer, name)}


def run_blocking(case, env):
    def one(step):
        if step["op"] in AT_ONCE:
            return shown(step, AT_ONCE[step["op"]](client, step))
        return shown(step, call(client, step))

    try:
        client = baokit.Client.from_env(env, **settings(case))
    except Exception as error:
        return {"error": failure(error)}
    with client:
        results = []
        for step in case["steps"]:
            if "parallel" in step:
                with ThreadPoolExecutor(step["parallel"]) as pool:
                    results.append(list(pool.map(lambda step: caught(one, step), [step] * step["parallel"])))
            else:
                results.append(caught(one, step))
    return {"results": results}


async def run_async(case, env):
    async def one(step):
        try:
            if step["op"] in AT_ONCE:
                return shown(step, AT_ONCE[step["op"]](client, step))
            return shown(step, await call(client, step))
        except Exception as error:
            return failure(error)

    try:
        client = baokit.AsyncClient.from_env(env, **settings(case))
    except Exception as error:
        return {"error": failure(error)}
    async with client:
        results = []
        for step in case["steps"]:
            if "parallel" in step:
                results.append(await asyncio.gather(*(one(step) for _ in range(step["parallel"]))))
            else:
                results.append(await one(step))
    return {"results": results}
