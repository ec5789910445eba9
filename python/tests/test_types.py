"""The types that baokit ships fit what it has, and mypy takes a program in strict mode."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import baokit
import baokit.testing
from baokit import _answers, _baokit, _errors, _uris

PROGRAM = '''
import asyncio
from baokit import AsyncClient, BaokitError, Client, Secret, SecretUri
from baokit.testing import DevServer

def blocking() -> str:
    with DevServer() as server, Client.from_env(server.env, timeout=5) as client:
        old, version = client.write(SecretUri.parse("openbao+kv2://secret/a"), {"b": "c", "d": [1, None]})
        secret: Secret = client.read("openbao+kv2://secret/a#b")
        return secret.expose_str() + str(version + client.versions("openbao+kv2://secret/a").current_version)

async def main() -> None:
    async with AsyncClient(url="http://127.0.0.1:1", token="t", allowed_mounts=["secret"]) as client:
        try:
            await asyncio.gather(client.read("openbao+kv2://secret/a"), client.kv2("secret").read("a", version=1))
        except BaokitError as error:
            print(error.code.lower(), error.tries + 1)
'''
WRONG = '''
from baokit import Client
Client(url=1)
Client(tokn="x")
Client().read(1).expose()
Client().write("x", object())
from baokit import DevServer
'''


@pytest.mark.parametrize("module", [_baokit, _answers, _errors, _uris])
def test_the_stubs_name_what_there_is(module):
    stub = Path(baokit.__file__).with_name(f"{module.__name__.split('.')[1]}.pyi")
    classes = {node.name: node for node in ast.parse(stub.read_text()).body if isinstance(node, ast.ClassDef)}
    typed_only = {"Settings", "ErrorCode"}
    names = {name for name in module.__all__ if not name.startswith("_")}
    if module is _baokit:
        (typed,) = [node.value for node in ast.parse(stub.read_text()).body if isinstance(node, ast.Assign)]
        assert names == set(ast.literal_eval(typed))
        names.add("DevServer")
    if module is _answers:
        names.add("Request")
    assert set(names) - {"ERROR_CODES"} == set(classes) - typed_only
    for name, node in classes.items():
        if name in typed_only or issubclass(getattr(module, name), (Exception, tuple, str)):
            continue
        public = {it for it in dir(getattr(module, name)) if not it.startswith("_")}
        assert public == {it.name for it in node.body if isinstance(it, ast.FunctionDef) and it.name[0] != "_"}, name
    for name in names:
        if module is _answers:
            assert [it.target.id for it in classes[name].body] == list(getattr(module, name)._fields)


def test_the_dev_server_is_in_testing_only():
    assert baokit.testing.__all__ == ["DevServer", "Request"]
    for name in baokit.testing.__all__:
        assert name not in baokit.__all__ and not hasattr(baokit, name)


def test_the_package_says_that_it_is_typed():
    assert Path(baokit.__file__).with_name("py.typed").exists()


def test_mypy_takes_a_program(tmp_path):
    pytest.importorskip("mypy", reason="mypy checks the types")
    (tmp_path / "good.py").write_text(PROGRAM)
    (tmp_path / "wrong.py").write_text(WRONG)

    def mypy(name):
        command = [sys.executable, "-m", "mypy", "--strict", "--no-color-output", "--cache-dir", tmp_path / "c", name]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)

    good, wrong = mypy("good.py"), mypy("wrong.py")
    assert good.returncode == 0, good.stdout
    assert wrong.stdout.count("error:") == 5, wrong.stdout


def test_everything_public_has_a_docstring():
    for name in baokit.__all__:
        it = getattr(baokit, name)
        if isinstance(it, type):
            assert it.__doc__, name
            for member in vars(it).values():
                if callable(member) and not getattr(member, "__name__", "_").startswith("_"):
                    assert member.__doc__, f"{name}.{member.__name__}"
