"""A canary as value, token, secret id and key must not show in anything that prints by itself."""

import asyncio
import copy
import dataclasses
import json
import logging
import pickle
import pprint
import traceback

import pytest
from conftest import app_role

import baokit
from baokit import AsyncClient, BaokitError, Client

CANARY = "canary-7f3a9c"
URI = "openbao+kv2://secret/redaction"


@dataclasses.dataclass
class Holder:
    secret: object


@pytest.fixture
def holders(baokit_server):
    """Every object that holds a secret or a token."""
    with Client.from_env(baokit_server.env) as client:
        client.write(URI, {"token": CANARY})
        client.kv2("secret").write("redaction-too", {"token": CANARY})
        role = app_role(baokit_server.url)
        other = Client(url=baokit_server.url, token=CANARY, allowed_mounts=["secret"])
        yield {
            "secret": client.read(URI),
            "one key": client.read(f"{URI}#token"),
            "value": client.request("GET", "secret/data/redaction"),
            "log-in": client.request("POST", "auth/approle/login", {k: role[k] for k in ("role_id", "secret_id")}),
            "versions": client.versions(URI),
            "client": other,
            "settings": other.settings,
            "app role": Client(url=baokit_server.url, role_id=CANARY, secret_id=CANARY),
            "asyncio": AsyncClient(url=baokit_server.url, token=CANARY),
            "kv2": other.kv2("secret"),
            "asyncio kv2": AsyncClient(url=baokit_server.url, token=CANARY).kv2("secret"),
            "server": baokit_server,
            "requests": baokit_server.requests,
        }


def test_the_canary_is_there(holders):
    assert holders["secret"].expose() == {"token": CANARY}
    assert holders["one key"].expose_str() == CANARY
    assert holders["value"].expose()["data"]["data"] == {"token": CANARY}


def test_nothing_that_prints_shows_it(holders):
    for name, it in holders.items():
        printed = [
            repr(it), str(it), f"{it}", f"{it!r:>100}", f"{it!s}", "%s %r" % (it, it), format(it), ascii(it),
            repr([it]), pprint.pformat({"it": it}), json.dumps(it, default=repr), repr(Holder(it)),
            repr(dataclasses.replace(Holder(it))), repr(dir(it)), repr(getattr(it, "__dict__", "")),
            logging.Formatter().format(logging.LogRecord("x", 30, "", 1, "%s %r", (it, it), None)),
        ]
        assert CANARY not in "".join(printed), name


def test_it_is_no_json_and_no_pickle(holders):
    for name in ("secret", "one key", "value", "log-in"):
        with pytest.raises(TypeError, match="not JSON serializable"):
            json.dumps(holders[name])
    for name in ("secret", "one key", "value", "log-in", "client", "app role", "asyncio", "kv2"):
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            with pytest.raises(TypeError, match="pickle") as caught:
                pickle.dumps(holders[name], protocol)
            assert CANARY not in str(caught.value)


def test_copies_stay_redacted(holders):
    for name in ("secret", "value"):
        it = holders[name]
        for other in (copy.copy(it), copy.deepcopy(it), dataclasses.asdict(Holder(it))["secret"]):
            assert CANARY not in repr(other)
            assert other.expose() == it.expose()


def test_comparing_shows_nothing(holders):
    with pytest.raises(AssertionError) as caught:
        assert holders["secret"] == holders["one key"]
    assert CANARY not in str(caught.value)


def everything_of(error):
    """An exception as text: with its causes, its attributes and the local variables of its frames."""
    frames = traceback.TracebackException.from_exception(error, capture_locals=True)
    # The test's own frame, which is the first, knows the canary and is not ours to judge.
    ours = [frame for frame in frames.stack if not frame.filename.endswith("test_redaction.py")]
    shown = ["".join(traceback.format_exception(error)), repr(error), repr(error.args), repr(vars(error))]
    while error := error.__cause__ or error.__context__:
        shown += [repr(error), repr(error.args), repr(vars(error)), repr(getattr(error, "object", ""))]
    return "".join(shown) + "".join(f"{frame.name} {frame.locals}" for frame in ours)


def failing(client):
    """Calls that fail while they hold the canary."""
    kv2 = client.kv2("secret")
    return [
        lambda: client.write("openbao+kv2://another/app", {"token": CANARY}),
        lambda: client.write(URI, CANARY),
        lambda: client.rotate(URI + "?version=1", {"token": CANARY}),
        lambda: client.write(URI, {"token": CANARY + "\ud800"}),
        lambda: client.write(URI, {"token": [CANARY, object()]}),
        lambda: client.write(URI, {CANARY.encode(): 1}),
        lambda: client.write(URI, CANARY.encode()),
        lambda: client.write(URI, {"token": CANARY, "x": float("nan")}),
        lambda: kv2.write("redaction", {"token": CANARY}, cas=99),
        lambda: client.request("POST", "sys/nothing/here", {"token": CANARY}),
        lambda: client.request("POST", "auth/approle/login", {"role_id": CANARY, "secret_id": CANARY}),
    ]


def test_exceptions_and_their_tracebacks(baokit_server, client):
    for call in failing(client):
        with pytest.raises((BaokitError, TypeError, ValueError)) as caught:
            call()
        assert CANARY not in everything_of(caught.value)
        if isinstance(caught.value, BaokitError):
            assert CANARY not in repr(pickle.loads(pickle.dumps(caught.value)).__dict__)


def test_exceptions_of_asyncio(baokit_server):
    async def run():
        async with AsyncClient.from_env(baokit_server.env) as client:
            for call in failing(client):
                with pytest.raises((BaokitError, TypeError, ValueError)) as caught:
                    await call()
                assert CANARY not in everything_of(caught.value)
            pending = client.write(URI, {"token": CANARY})
            assert CANARY not in repr(pending) + repr(pending.cr_frame.f_locals)
            pending.close()

    asyncio.run(run())


@pytest.mark.parametrize("wrong", [
    {"token": CANARY + "\n"}, {"token": CANARY + "\ud800"}, {"token": [CANARY]}, {"token": CANARY.encode()},
    {"role_id": CANARY, "secret_id": f" {CANARY}"}, {"role_id": CANARY}, {"secret_id": CANARY}, {"ca_pem": CANARY},
    {"token": "t", "client_certificate_pem": CANARY}, {"token": "t", "url": f"http://user:{CANARY}@host"},
])
def test_settings_that_are_refused(wrong):
    with pytest.raises((BaokitError, TypeError, ValueError)) as caught:
        Client(**{"url": "http://127.0.0.1:1", **wrong})
    assert CANARY not in everything_of(caught.value)
    assert caught.value.code == "INVALID_SETTING"


def test_logs_at_debug_level(baokit_server, caplog):
    caplog.set_level(logging.DEBUG)
    role = app_role(baokit_server.url)
    with Client(**role) as client:
        client.write(URI, {"token": CANARY})
        assert client.read(f"{URI}#token").expose() == CANARY
    with Client(url=baokit_server.url, token=CANARY, allowed_mounts=["secret"]) as client:
        with pytest.raises(baokit.PolicyError):
            client.read(URI)
    assert "/v1/secret/data/redaction" in caplog.text, "the requests are logged"
    assert CANARY not in caplog.text
    assert role["secret_id"] not in caplog.text
