"""`faketagger platform`: accounts and tokens by command, and what it says when it cannot serve."""

import os
import re
import socket

import pytest

from faketagger.serving.commands import platform
from faketagger.serving.platform import tables
from faketagger.serving.platform.accounts import Accounts

DATABASE = "--database=sqlite:///site.db"


@pytest.fixture(autouse=True)
def _no_database_of_the_environment(monkeypatch):
    monkeypatch.delenv(platform.DATABASE_VARIABLE, raising=False)


def _caller(token):
    return Accounts(tables.open_database("sqlite:///site.db")).of_token(token.strip())


def test_an_account_is_made_with_a_token_that_is_printed_once(faketagger):
    code, token, said = faketagger("platform", "account", "mary", "--role=moderator", DATABASE)
    assert code == 0 and re.fullmatch(r"ftk_[0-9a-f]{16}_[\w-]{43}\n", token) and "shown once" in said
    assert (_caller(token).name, _caller(token).role) == ("mary", "moderator")
    again = faketagger("platform", "account", "mary", DATABASE)
    assert again == (1, "", "faketagger: mary: there is an account of that name\n")


def test_a_token_is_added_and_revoked(faketagger):
    _, first, _ = faketagger("platform", "account", "ann", DATABASE)
    _, second, _ = faketagger("platform", "token", "ann", DATABASE)
    assert faketagger("platform", "revoke", first.split("_")[1], DATABASE)[:2] == (0, "the token is revoked\n")
    assert _caller(first) is None and _caller(second).name == "ann"
    assert faketagger("platform", "revoke", "0" * 16, DATABASE)[0] == 1
    assert faketagger("platform", "token", "bob", DATABASE)[2] == "faketagger: bob: there is no such account\n"


def test_the_database_may_stand_in_the_environment(faketagger, monkeypatch):
    monkeypatch.setenv(platform.DATABASE_VARIABLE, "sqlite:///site.db")
    assert _caller(faketagger("platform", "account", "ann")[1]).name == "ann"


def test_a_database_that_cannot_be_opened_is_told_in_a_line(faketagger):
    code, out, said = faketagger("platform", "account", "ann", "--database=postgresql://u:hidden@127.0.0.1:1/x")
    assert (code, out, said.count("\n")) == (1, "", 1) and "hidden" not in said


@pytest.mark.parametrize(
    "key_file, said", [("nowhere.key", "nowhere.key: No such file"), ("no.pem", "both in PEM form")]
)
def test_files_of_tls_that_cannot_be_used_are_told_before_anything_is_served(faketagger, key_file, said):
    with open("no.pem", "wb") as file:
        file.write(b"this is no certificate")
    os.chmod("no.pem", 0o600)
    files = f"--ssl_key_file={key_file}", "--ssl_cert_file=no.pem"
    code, out, told = faketagger("platform", *files, DATABASE)
    assert (code, out) == (1, "") and said in told and "8600" not in told


@pytest.mark.slow
def test_a_port_that_is_taken_is_told(faketagger, pattern_model):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = [f"--port={taken.getsockname()[1]}", "--host=127.0.0.1"]
        code, out, said = faketagger("platform", *place, DATABASE, f"--model={pattern_model}")
    assert (code, out) == (1, "") and said.endswith("Address already in use\n")
