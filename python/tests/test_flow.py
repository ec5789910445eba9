"""The flow that every Python has to pass: log in by AppRole, write, read, rotate one key, list
versions, delete; blocking and with asyncio, on the dev server and on the real one."""

import asyncio

import pytest
from conftest import app_role

from baokit import AsyncClient, CallerError, Client, SecretUri


def test_blocking(any_server):
    uri = "openbao+kv2://secret/flow/blocking"
    with Client(**app_role(any_server)) as client:
        assert client.write(uri, {"user": "app", "token": "first"}).new_version == 1
        secret = client.read(uri)
        assert (secret.version, secret.expose()) == (1, {"user": "app", "token": "first"})
        change = client.rotate(f"{uri}#token", "second")
        assert (change.old_version, change.new_version) == (1, 2)
        assert client.read(SecretUri.parse(f"{uri}#token")).expose() == "second"
        assert client.read(f"{uri}#token?version=1").expose_str() == "first"
        assert client.read(f"{uri}#user").expose() == "app"
        versions = client.versions(uri)
        assert (versions.current_version, [it.version for it in versions.versions]) == (2, [1, 2])
        assert client.delete(uri) is None
        with pytest.raises(CallerError) as caught:
            client.read(uri)
        assert caught.value.code == "SECRET_DELETED"
        assert client.versions(uri).versions[1].deletion_time
        assert client.lookup_self().policies == ["default", "tests"]
        assert client.renew_self().lease_duration > 0


def test_asyncio(any_server):
    async def flow():
        uri = "openbao+kv2://secret/flow/asyncio"
        async with AsyncClient(**app_role(any_server)) as client:
            assert (await client.write(uri, {"user": "app", "token": "first"})).new_version == 1
            assert (await client.read(uri)).expose() == {"user": "app", "token": "first"}
            change = await client.rotate(f"{uri}#token", "second")
            assert (change.old_version, change.new_version) == (1, 2)
            token, user = await asyncio.gather(client.read(f"{uri}#token"), client.read(f"{uri}#user"))
            assert (token.expose(), user.expose()) == ("second", "app")
            assert (await client.versions(uri)).current_version == 2
            assert await client.delete(uri) is None
            with pytest.raises(CallerError) as caught:
                await asyncio.create_task(client.read(uri))
            assert caught.value.code == "SECRET_DELETED"

    asyncio.run(flow())


def test_kv2_by_mount_and_path(any_server):
    with Client(**app_role(any_server)) as client:
        kv2 = client.kv2("secret")
        assert kv2.write("flow/kv2", {"a": 1}, cas=0).version == 1
        assert kv2.write("flow/kv2", {"a": 2}, cas=1).version == 2
        assert kv2.read("flow/kv2", version=1).expose() == {"a": 1}
        with pytest.raises(CallerError) as caught:
            kv2.write("flow/kv2", {"a": 3}, cas=1)
        assert caught.value.code == "CAS_CONFLICT"
        kv2.delete("flow/kv2", [1])
        assert [it.deletion_time is not None for it in kv2.versions("flow/kv2").versions] == [True, False]


def test_values_come_back_as_they_went(any_server):
    values = {
        # OpenBao itself keeps numbers as float64; test_input shows that ours are exact beyond 2**53.
        "text": "grüße 🔑", "int": 2**53, "negative": -(2**53), "float": 0.1,
        "yes": True, "nothing": None, "list": [1, [2.5, "x"], {}], "map": {"deep": {"er": []}}, "": "empty key",
    }
    with Client(**app_role(any_server)) as client:
        client.write("openbao+kv2://secret/flow/values", values)
        back = client.read("openbao+kv2://secret/flow/values").expose()
        assert back == values
        assert [type(item) for item in back.values()] == [type(values[key]) for key in back]
