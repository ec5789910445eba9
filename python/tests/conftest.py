"""What the tests share: servers, real and otherwise, and AppRole set up on them."""

import os
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from baokit import BaokitError, Client
from baokit.testing import DevServer

ROOT = Path(__file__).resolve().parents[2]
BAO = ROOT / "tests" / "openbao" / ".servers" / "2.7.2" / "bao"


@pytest.fixture(autouse=True)
def no_settings_of_the_caller(monkeypatch):
    for key in list(os.environ):
        if key.startswith(("OPENBAO_", "BAO_", "VAULT_", "HASHICORP_", "TENANT_", "SECRET_URI_")):
            monkeypatch.delenv(key)


def app_role(url, **settings):
    """Sets AppRole up on a server with the root token `root`; returns a client's keyword arguments."""
    with Client(url=url, token="root") as root:
        methods = root.request("GET", "sys/auth").expose()["data"]
        if "approle/" not in methods:
            root.request("POST", "sys/auth/approle", {"type": "approle"})
        rule = 'path "secret/*" { capabilities = ["create", "read", "update", "delete", "list"] }'
        root.request("PUT", "sys/policies/acl/tests", {"policy": rule})
        root.request("POST", "auth/approle/role/tests", {"token_policies": ["tests"]})
        role_id = root.request("GET", "auth/approle/role/tests/role-id").expose()["data"]["role_id"]
        secret_id = root.request("POST", "auth/approle/role/tests/secret-id", {}).expose()["data"]["secret_id"]
    return {"url": url, "role_id": role_id, "secret_id": secret_id, "allowed_mounts": ["secret"], **settings}


@pytest.fixture(scope="session")
def real_server(tmp_path_factory):
    """The address of a real OpenBao in development mode, with the root token `root`."""
    if not BAO.exists():
        pytest.fail(f"there is no {BAO.relative_to(ROOT)}: tests/openbao/fetch gets it")
    home = tmp_path_factory.mktemp("bao")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    arguments = ["-dev", "-dev-root-token-id=root", "-dev-no-store-token", f"-dev-listen-address={address}"]
    with open(home / "log", "w") as log:
        child = subprocess.Popen(
            [BAO, "server", *arguments],
            env={"HOME": str(home), "PATH": os.defpath},
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
        )
    try:
        _wait_until_mounted(f"http://{address}", child, home / "log")
        yield f"http://{address}"
    finally:
        child.kill()
        child.wait()


def _wait_until_mounted(url, child, log):
    """A dev server is healthy a moment before it mounts secret/."""
    end = time.monotonic() + 30
    with Client(url=url, token="root", timeout=2) as client:
        while True:
            try:
                client.request("GET", "secret/config")
                return
            except BaokitError:
                if child.poll() is not None or time.monotonic() > end:
                    pytest.fail(f"bao did not start: {log.read_text()[-1000:]}")
                time.sleep(0.1)


class Silent:
    """A server that takes requests and never answers; it knows when its clients hang up."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.asked, self.left = threading.Event(), threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._listen, args=(connection,), daemon=True).start()

    def _listen(self, connection):
        with connection:
            try:
                while connection.recv(65536):
                    self.asked.set()
            except OSError:
                pass
            self.left.set()

    def close(self):
        self.listener.close()


@pytest.fixture
def silent():
    server = Silent()
    yield server
    server.close()


@pytest.fixture
def client(baokit_server):
    with Client.from_env(baokit_server.env) as client:
        yield client


@pytest.fixture(params=["dev server", "OpenBao 2.7.2"])
def any_server(request):
    """The address of each kind of server in turn."""
    if request.param == "OpenBao 2.7.2":
        yield request.getfixturevalue("real_server")
    else:
        with DevServer() as server:
            yield server.url
