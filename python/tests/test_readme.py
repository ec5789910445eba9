"""The programs in README.md run as they stand there."""

import re
from pathlib import Path

import baokit
from baokit import Client

BLOCKS = re.findall(r"```python\n(.*?)```", (Path(__file__).parents[1] / "README.md").read_text(), re.DOTALL)
URI = "openbao+kv2://secret/app/api"


def test_the_first_program(baokit_server, monkeypatch, capsys):
    for key, value in baokit_server.env.items():
        monkeypatch.setenv(key, value)
    with Client.from_env() as client:
        client.write(URI, {"token": "old-value"})
    seen = []
    exec(BLOCKS[0], {"connect": seen.append})
    assert (seen, capsys.readouterr().out) == (["old-value"], "1 -> 2\n")


def test_the_program_about_errors(client):
    exec(next(block for block in BLOCKS if "except" in block), {"client": client, "baokit": baokit})


def test_the_test(baokit_server):
    scope = {"baokit": baokit}
    exec(next(block for block in BLOCKS if "def test_it" in block), scope)
    scope["test_it"](baokit_server)
