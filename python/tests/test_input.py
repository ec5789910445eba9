"""Wrong input of every sort: Python's own kind of error with the shared code, and no crash."""

import asyncio
import copy
import http.server
import logging
import pickle
import socket
import threading
import time

import pytest

import baokit
from baokit import AsyncClient, CallerError, Client, ServerError, TransportError

URI = "openbao+kv2://secret/input"


def holding_itself():
    value = []
    value.append(value)
    return value


@pytest.mark.parametrize("value, kind, place", [
    (object(), TypeError, "value must be"),
    (b"bytes", TypeError, "value must be"),
    ({"a": {"b": [0, {1, 2}]}}, TypeError, 'value["a"]["b"][1]'),
    ({"a": {1: 2}}, TypeError, 'a key of value["a"]'),
    ({"a": float("nan")}, ValueError, 'value["a"]'),
    ({"a": float("inf")}, ValueError, 'value["a"]'),
    ({"a": 2**64}, ValueError, 'value["a"]'),
    ({"a": "\ud800"}, ValueError, 'value["a"]'),
    ({"\udcff": 1}, ValueError, "a key of value"),
    (holding_itself(), ValueError, "nested too deep"),
    (NotImplemented, TypeError, "value must be"),
])
def test_values_that_json_does_not_have(client, baokit_server, value, kind, place):
    baokit_server.clear_requests()
    for call in (client.write, client.rotate):
        with pytest.raises(kind) as caught:
            call(URI, value)
        assert place in str(caught.value)
        assert caught.value.code == "INVALID_VALUE"
    with pytest.raises(kind):
        client.kv2("secret").write("input", value)
    assert baokit_server.requests == []


def test_a_value_that_changes_while_it_is_read(client):
    """Classes of one's own are read as the interpreter keeps them; their code, which could do anything, isn't run."""
    outer = {}

    class List(list):
        def __iter__(self):
            outer.update({str(number): number for number in range(100)})
            return iter(["of its own"])

    class Tuple(tuple):
        __iter__ = List.__iter__

    class Dict(dict):
        def items(self):
            outer.clear()
            return {}.items()

        __iter__ = keys = values = items

    for kind, value in ((List, [1]), (Tuple, (1,)), (Dict, {"a": 1})):
        outer.clear()
        outer.update({"first": kind(value), "second": 2})
        client.write(URI, outer)
        assert client.read(URI).expose() == {"first": value if kind is Dict else [1], "second": 2}


@pytest.mark.parametrize("levels", [101, 250, 5000])
def test_a_value_nested_too_deep(client, baokit_server, levels):
    value = "x"
    for _ in range(levels - 1):
        value = [value]
    baokit_server.clear_requests()
    with pytest.raises((CallerError, ValueError)) as caught:
        client.write(URI, {"a": value})
    assert caught.value.code == "INVALID_VALUE"
    assert baokit_server.requests == []


def test_a_value_nested_as_deep_as_it_may(client):
    value = "x"
    for _ in range(99):
        value = [value]
    client.write(URI, {"a": value})
    assert client.read(URI).expose() == {"a": value}


def test_a_whole_secret_is_a_dict(client):
    for value in ("text", 1, None, [], True):
        with pytest.raises(CallerError) as caught:
            client.write(URI, value)
        assert caught.value.code == "INVALID_VALUE"


@pytest.mark.parametrize("wrong", [None, 1, b"openbao+kv2://secret/x", ["x"], object()])
def test_wrong_types_where_text_belongs(client, wrong):
    for call in (client.read, client.delete, client.versions, baokit.SecretUri.parse, baokit.SecretPointer.parse,
                 baokit.SecretRef.parse, client.kv2, client.kv2("secret").read, client.kv2("secret").versions):
        with pytest.raises(TypeError) as caught:
            call(wrong)
        assert "must be str" in str(caught.value)
    for arguments in ((wrong, "sys/mounts"), ("GET", wrong)):
        with pytest.raises(TypeError):
            client.request(*arguments)
    with pytest.raises(TypeError):
        Client.from_env(wrong if wrong is not None else 1)


def test_wrong_types_where_numbers_belong(client):
    kv2 = client.kv2("secret")
    for call in (lambda: kv2.read("x", "1"), lambda: kv2.write("x", {}, cas="0"), lambda: kv2.delete("x", "12"),
                 lambda: kv2.delete("x", [None]), lambda: kv2.delete("x", b"12"), lambda: kv2.delete("x", 1),
                 lambda: kv2.read("x", 1.5), lambda: kv2.read("x", True), lambda: kv2.write("x", {}, cas=False)):
        with pytest.raises(TypeError) as caught:
            call()
        assert caught.value.code == "INVALID_VERSION"
    for call in (lambda: kv2.read("x", -1), lambda: kv2.read("x", 2**70), lambda: kv2.write("x", {}, cas=2**64),
                 lambda: kv2.delete("x", [1, -1])):
        with pytest.raises(OverflowError, match="out of range") as caught:
            call()
        assert caught.value.code == "INVALID_VERSION"
    for wrong, kind in (("1", TypeError), (True, TypeError), (-1, OverflowError), (2**70, OverflowError)):
        with pytest.raises(kind, match="^increment ") as caught:
            client.renew_self(wrong)
        assert caught.value.code == "INVALID_VALUE"


def test_numbers_of_other_classes(client):
    """What can stand for an index is a number; what its class raises comes through."""
    class Index:
        def __index__(self):
            return 1

    class Broken:
        def __index__(self):
            raise LookupError("no number today")

    kv2 = client.kv2("secret")
    kv2.write("x", {"a": 1}, cas=0)
    assert kv2.read("x", Index()).version == 1
    with pytest.raises(LookupError, match="no number today"):
        kv2.read("x", Broken())
    kv2.delete("x", (it for it in [Index()]))


@pytest.mark.parametrize("wrong", ["x", 1, [], object()])
def test_wrong_types_where_flags_belong(wrong):
    for call in (lambda: baokit.SecretUri(URI, accept_legacy=wrong), lambda: baokit.SecretPrefix(URI, accept_legacy=wrong),
                 lambda: baokit.SecretPrefix(URI, wildcard=wrong)):
        with pytest.raises(TypeError, match="must be bool") as caught:
            call()
        assert caught.value.code == "INVALID_SETTING"


def test_calls_with_wrong_arguments(client):
    for call in (client.read, client.write, lambda: client.read(URI, URI), lambda: client.lookup_self(1),
                 lambda: Client("http://127.0.0.1:1"), lambda: Client(url="http://127.0.0.1:1", tokn="x")):
        with pytest.raises(TypeError):
            call()


@pytest.mark.parametrize("name", ["tokn", "\ud800", "url\udcff", ""])
def test_a_setting_that_there_is_not(name):
    with pytest.raises(TypeError, match="there is no setting") as caught:
        Client(**{"url": "http://127.0.0.1:1", "token": "t", name: "x"})
    assert caught.value.code == "INVALID_SETTING"


def test_url_and_urls_exclude_each_other():
    for settings in ({"url": "http://127.0.0.1:1", "urls": ["http://127.0.0.1:2"]},
                     {"urls": ["http://127.0.0.1:2"], "url": "http://127.0.0.1:1"}):
        for make in (Client, AsyncClient, Client.from_env, Client.describe_settings):
            with pytest.raises(CallerError, match="url and urls") as caught:
                make(token="t", **settings)
            assert caught.value.code == "INVALID_SETTING"
    # None means not given, and both overrule the environment.
    env = {"OPENBAO_URL": "http://127.0.0.1:1", "OPENBAO_TOKEN": "t"}
    assert Client.describe_settings(env, url="http://127.0.0.1:3", urls=None)["nodes"] == ["http://127.0.0.1:3"]
    assert Client.describe_settings(env, url=None, urls=["http://127.0.0.1:3"])["nodes"] == ["http://127.0.0.1:3"]


def test_an_environment_without_settings():
    for env in ({}, None):
        with pytest.raises(CallerError) as caught:
            Client.from_env(env)
        assert (caught.value.code, caught.value.subject) == ("MISSING_SETTING", "OPENBAO_URL")
        with pytest.raises(CallerError):
            AsyncClient.from_env(env)
    with pytest.raises(CallerError) as caught:
        Client(url="http://127.0.0.1:1")
    assert caught.value.code == "MISSING_SETTING"


def test_the_process_environment(monkeypatch, baokit_server):
    for key, value in baokit_server.env.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setenv("VAULT_TIMEOUT", "7")
    with Client.from_env() as client:
        assert (client.settings["nodes"], client.settings["timeout"]) == ([baokit_server.url], 7.0)
        assert client.write(URI, {"a": 1}).new_version == 1
    with Client.from_env(timeout=9, renewal_threshold=2.5) as client:
        assert (client.settings["timeout"], client.settings["renewal_threshold"]) == (9.0, 2.5)
    assert Client.describe_settings() == AsyncClient.describe_settings()
    monkeypatch.setenv("VAULT_TIMEOUT", "\udcff")
    with pytest.raises(CallerError) as caught:
        Client.from_env()
    assert (caught.value.code, caught.value.subject) == ("INVALID_SETTING", "VAULT_TIMEOUT")


def test_an_environment_of_something_else_than_text():
    with pytest.raises(TypeError) as caught:
        Client.from_env({"OPENBAO_URL": 8200})
    assert str(caught.value) == "OPENBAO_URL must be str, not int"


def test_errors_of_the_callers_own_classes_are_kept():
    class Broken:
        def __getitem__(self, key):
            raise TypeError("a mistake in __getitem__")

        def __iter__(self):
            raise TypeError("a mistake in __iter__")

    for call in (lambda: Client.from_env(Broken()), lambda: Client(urls=Broken(), token="t")):
        with pytest.raises(TypeError, match="must be a") as caught:
            call()
        assert caught.value.code == "INVALID_SETTING"
        assert "a mistake in" in str(caught.value.__cause__)


@pytest.mark.parametrize("wrong", [
    {"url": "ftp://host"}, {"url": ""}, {"url": None, "urls": ["http://127.0.0.1:1", "nonsense"]}, {"timeout": 0}, {"timeout": -1},
    {"timeout": float("nan")}, {"timeout": float("inf")}, {"timeout": 1e30}, {"pool_size": 0}, {"pool_size": -1},
    {"timeout": 10**400}, {"timeout": -(10**400)}, {"renewal_threshold": -1}, {"renewal_threshold": float("nan")},
    {"pool_size": 2**70}, {"max_concurrent": 0}, {"namespace": "a//b"}, {"allowed_mounts": ["*"]}, {"ca_pem": "x"},
    {"tenant_id": ""}, {"client_key_pem": "x"}, {"role_id": "x"},
])
def test_bad_settings(wrong):
    with pytest.raises(CallerError) as caught:
        Client(**{"url": "http://127.0.0.1:1", "token": "t", **wrong})
    assert caught.value.code == "INVALID_SETTING", caught.value


@pytest.mark.parametrize("wrong", [
    {"url": 1}, {"urls": "http://127.0.0.1:1"}, {"urls": 1}, {"urls": [1]}, {"verify_tls": "no"}, {"verify_tls": 0},
    {"timeout": "1"}, {"timeout": True}, {"renewal_threshold": "1"}, {"pool_size": True}, {"pool_size": 1.5}, {"allowed_mounts": "secret"}, {"accept_legacy": 1}, {"provider": 1},
])
def test_settings_of_a_wrong_type(wrong):
    with pytest.raises(TypeError) as caught:
        Client(**{"url": "http://127.0.0.1:1", "token": "t", **wrong})
    assert caught.value.code == "INVALID_SETTING"


def test_a_timeout_that_is_out_of_range_is_told_so():
    for timeout in (0, 1e30, 10**400, -(10**400)):
        with pytest.raises(CallerError, match="at most 86400"):
            Client(url="http://127.0.0.1:1", token="t", timeout=timeout)


def test_an_unknown_provider():
    for provider, code in (("openbao+kv1", "UNSUPPORTED_ENGINE"), ("yaml", "UNSUPPORTED_ENGINE"), ("", "INVALID_URI")):
        with pytest.raises(CallerError) as caught:
            Client(url="http://127.0.0.1:1", token="t", provider=provider)
        assert caught.value.code == code


def test_a_closed_client(baokit_server):
    with Client.from_env(baokit_server.env) as client:
        client.write(URI, {"a": 1})
    client.close()
    for call in (lambda: client.read(URI), lambda: client.write(URI, {}), client.lookup_self,
                 lambda: client.kv2("secret").read("x"), lambda: client.request("GET", "sys/mounts")):
        with pytest.raises(CallerError) as caught:
            call()
        assert caught.value.code == "CLIENT_CLOSED"

    async def run():
        async with AsyncClient.from_env(baokit_server.env) as client:
            pass
        with pytest.raises(CallerError) as caught:
            await client.read(URI)
        assert caught.value.code == "CLIENT_CLOSED"

    asyncio.run(run())


def test_a_stopped_dev_server():
    with baokit.testing.DevServer() as server:
        url = server.url
    server.close()
    with pytest.raises(RuntimeError):
        server.url
    with pytest.raises(ValueError):
        baokit.testing.DevServer().advance(-1)
    with Client(url=url, token="root", timeout=0.5) as client, pytest.raises(TransportError):
        client.lookup_self()


def test_an_unreachable_server():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with Client(url=url, token="t", timeout=0.5) as client:
        start = time.monotonic()
        with pytest.raises(TransportError) as caught:
            client.lookup_self()
    error = caught.value
    assert (error.code, error.family, error.http_status, error.retryable) == ("SERVER_UNREACHABLE", "transport", 502, True)
    assert (error.node, error.tries > 0) == (url, True)
    assert error.advice in str(error)
    assert time.monotonic() - start < 5


def test_a_silent_server(silent):
    with Client(url=silent.url, token="t", timeout=0.3) as client:
        with pytest.raises(TransportError) as caught:
            client.lookup_self()
        assert caught.value.code == "DEADLINE_EXCEEDED"


def test_a_sealed_server(baokit_server):
    baokit_server.seal()
    with Client.from_env(baokit_server.env, timeout=0.5) as client:
        with pytest.raises(ServerError) as caught:
            client.lookup_self()
        assert caught.value.code == "SERVER_SEALED"
        baokit_server.unseal()
        assert client.lookup_self().policies == ["root"]


def test_an_expired_token_is_replaced(baokit_server):
    from conftest import app_role

    with Client(**app_role(baokit_server.url)) as client:
        client.write(URI, {"a": 1})
        baokit_server.advance(10 * 365 * 86400)
        assert client.read(URI).expose() == {"a": 1}


def test_asyncio_without_a_loop_and_unawaited(baokit_server):
    client = AsyncClient.from_env(baokit_server.env)
    baokit_server.clear_requests()
    call = client.read(URI)
    with pytest.raises(RuntimeError, match="no running event loop"):
        call.send(None)
    client.read(URI).close()
    assert baokit_server.requests == [], "a call that is not awaited sends nothing"


def test_integers_are_exact_beyond_2_to_the_53():
    """With a server that keeps them so; OpenBao itself does not."""
    seen = []

    class Echo(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            seen.append(body)
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    numbers = {"a": 2**53 + 1, "b": 2**64 - 1, "c": -(2**63), "d": 0.1, "e": 1e300, "f": 0}
    with http.server.HTTPServer(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with Client(url=f"http://127.0.0.1:{server.server_port}", token="t") as client:
            assert client.request("POST", "echo", numbers).expose() == numbers
        server.shutdown()
    assert b'"a":9007199254740993' in seen[0].replace(b" ", b"")


def test_a_secret_can_be_written_without_a_look_at_it(client):
    client.write(URI, {"a": "x", "n": 1})
    copied = client.read(URI)
    client.write("openbao+kv2://secret/copy", copied)
    client.write("openbao+kv2://secret/copy2", {"inside": client.read(f"{URI}#a")})
    assert client.read("openbao+kv2://secret/copy").expose() == {"a": "x", "n": 1}
    assert client.read("openbao+kv2://secret/copy2#inside").expose() == "x"


def test_exposing_as_text(client):
    client.write(URI, {"a": "x"})
    with pytest.raises(CallerError) as caught:
        client.read(URI).expose_str()
    assert caught.value.code == "WRONG_TYPE"


def test_uris_are_values():
    uri = baokit.SecretUri.parse("OpenBao+KV2://secret/app/%61pi?version=3#token")
    same = baokit.SecretUri.parse(uri)
    assert str(uri) == "openbao+kv2://secret/app/api#token?version=3"
    assert (uri.mount, uri.path, uri.fragment, uri.version) == ("secret", "app/api", "token", 3)
    assert uri == same == str(uri) and len({uri, same, str(uri)}) == 1 and type(str(uri)) is str
    assert repr(uri) == f"SecretUri('{uri}')" and uri < baokit.SecretUri("openbao+kv2://secret/b")
    for other in (pickle.loads(pickle.dumps(uri)), copy.deepcopy(uri)):
        assert (type(other), other, other.path, other.version) == (baokit.SecretUri, uri, "app/api", 3)
    with pytest.raises(AttributeError):
        uri.path = "another"
    assert baokit.SecretPointer.parse("file:db").file == ("primary", "db")
    assert isinstance(baokit.SecretRef.parse(str(uri)), baokit.SecretUri)


def test_warnings_reach_logging(caplog):
    env = {"OPENBAO_URL": "https://127.0.0.1:1", "OPENBAO_TOKEN": "t", "VAULT_VERIFY_SSL": "false"}
    with Client.from_env(env) as client:
        assert client.settings["warnings"] == ["TLS_NOT_VERIFIED"]
    (record,) = caplog.records
    assert (record.levelname, record.name.split(".")[0]) == ("WARNING", "baokit")
    assert "VAULT_VERIFY_SSL is off" in record.getMessage()


def test_a_logging_filter_that_raises(caplog):
    class Strict(logging.Filter):
        def filter(self, record):
            raise LookupError("no warnings, please")

    logger, strict = logging.getLogger("baokit.client"), Strict()
    logger.addFilter(strict)
    try:
        with pytest.raises(LookupError):
            Client(url="https://127.0.0.1:1", token="t", verify_tls=False)
    finally:
        logger.removeFilter(strict)


def test_a_call_from_a_logging_handler(baokit_server, caplog):
    """A handler runs inside a call; one that makes another call must get an error, and not hang."""
    seen = []

    class Nosy(logging.Handler):
        def emit(self, record):
            try:
                client.lookup_self()
            except RuntimeError as error:
                seen.append(str(error))

    logger, nosy = logging.getLogger("baokit"), Nosy()
    caplog.set_level(logging.DEBUG, "baokit")
    with Client.from_env(baokit_server.env) as client:
        logger.addHandler(nosy)
        try:
            client.lookup_self()
        finally:
            logger.removeHandler(nosy)
    assert seen and "within" in seen[0]
