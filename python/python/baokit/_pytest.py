"""The pytest plugin: the fixture `baokit_server`."""

import pytest


@pytest.fixture
def baokit_server():
    """A running baokit.testing.DevServer of the test's own."""
    # Imported late: this file is loaded in every run of pytest, also where nobody uses baokit.
    from .testing import DevServer

    with DevServer() as server:
        yield server
