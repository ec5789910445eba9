"""The exception classes come from core's table, each code in its family's class."""

import copy
import pickle

import pytest

import baokit
from baokit import BaokitError, Client


def test_every_family_has_a_class():
    families = {row["family"] for row in baokit.ERROR_CODES.values()}
    classes = {kind for kind in vars(baokit).values() if isinstance(kind, type) and issubclass(kind, BaokitError)}
    assert {kind.__name__ for kind in classes} == {
        "BaokitError", "CallerError", "PolicyError", "ServerError", "TransportError", "InternalError",
    }
    assert len(classes) == len(families) + 1
    for row in baokit.ERROR_CODES.values():
        assert set(row) == {"family", "http_status", "retryable", "advice"}


def test_an_error_says_what_the_table_says(client):
    with pytest.raises(BaokitError) as caught:
        client.read("openbao+kv2://secret/nothing")
    error, row = caught.value, baokit.ERROR_CODES["SECRET_NOT_FOUND"]
    assert type(error) is baokit.CallerError
    assert {key: getattr(error, key) for key in row} == row
    assert (error.code, error.subject) == ("SECRET_NOT_FOUND", "openbao+kv2://secret/nothing")
    assert (error.node, error.tries) == (client.settings["nodes"][0], 1)


def test_the_tenant_guard_sends_nothing(baokit_server, client):
    with pytest.raises(baokit.PolicyError) as caught:
        client.read("openbao+kv2://another/app")
    assert caught.value.code == "TENANT_MOUNT_MISMATCH"
    assert (caught.value.node, caught.value.tries, baokit_server.requests) == (None, 0, [])


def test_errors_cross_processes_and_can_be_copied(client):
    with pytest.raises(BaokitError) as caught:
        client.read("openbao+kv2://secret/nothing")
    for other in (pickle.loads(pickle.dumps(caught.value)), copy.copy(caught.value), copy.deepcopy(caught.value)):
        assert (type(other), vars(other), str(other)) == (type(caught.value), vars(caught.value), str(caught.value))


def test_errors_that_python_code_makes_have_empty_fields():
    assert (BaokitError("x").code, baokit.CallerError("x").node) == (None, None)


def test_describing_settings_reads_no_files():
    env = {"OPENBAO_URL": "https://host:8200", "OPENBAO_TOKEN": "t", "OPENBAO_CACERT": "/nowhere/ca.pem"}
    assert Client.describe_settings(env)["ca"] == "/nowhere/ca.pem"
    with pytest.raises(baokit.CallerError) as caught:
        Client.from_env(env)
    assert caught.value.code == "INVALID_SETTING"
