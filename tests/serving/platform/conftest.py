"""The platform around a tagger of plain blocks, which needs no model, and somebody of each role."""

import numpy as np
import pytest
from starlette.testclient import TestClient

from faketagger.serving.platform import app, service, tables
from faketagger.tests.serving.platform.stubs import BlockTagger


@pytest.fixture
def tagger():
    return BlockTagger()


@pytest.fixture
def engine(tmp_path):
    made = tables.open_database(f"sqlite:///{tmp_path / 'platform.db'}")
    yield made
    made.dispose()


@pytest.fixture
def platform(engine, tagger):
    """The service."""
    return service.Service(engine, tagger)


@pytest.fixture
def tokens(platform):
    """A token of each account, by its name: ann and bob upload, pia shows her name, mod moderates, svc resolves."""
    accounts = platform.accounts
    return {
        "ann": accounts.add("ann"),
        "bob": accounts.add("bob"),
        "pia": accounts.add("pia", public=True),
        "mod": accounts.add("mod", "moderator"),
        "svc": accounts.add("svc", "service"),
    }


@pytest.fixture
def callers(platform, tokens):
    """The accounts by name."""
    return {name: platform.accounts.of_token(token) for name, token in tokens.items()}


@pytest.fixture
def client(platform, tokens):
    """Calls the application without a network; cookies are kept."""
    with TestClient(app.make_app(platform), base_url="https://platform.test", follow_redirects=False) as made:
        yield made


@pytest.fixture
def bearer(tokens):
    """The header of an account's token."""
    return lambda name: {"Authorization": f"Bearer {tokens[name]}"}


@pytest.fixture(autouse=True)
def _repeatable():
    np.random.seed(0)
