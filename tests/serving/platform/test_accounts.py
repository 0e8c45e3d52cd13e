"""Accounts: tokens and sessions open what is theirs, and end; only digests of them are stored; uses are counted."""

import collections
import concurrent.futures

import pytest
import sqlalchemy as sa

from faketagger.serving.platform import accounts
from faketagger.serving.platform.accounts import AccountError, TooOftenError


def _everything(engine):
    """All that is in the database, as text."""
    with engine.connect() as connection:
        names = sa.inspect(engine).get_table_names()
        return repr([connection.execute(sa.text(f"SELECT * FROM {name}")).all() for name in names])


def test_a_token_says_whose_it_is(platform, tokens):
    found = platform.accounts.of_token(tokens["mod"])
    assert (found.name, found.role, found.is_moderator, found.may_know_all) == ("mod", "moderator", True, True)
    assert platform.accounts.of_token(tokens["svc"]).is_moderator is False


@pytest.mark.parametrize("spoil", [lambda it: it[:-1] + ("A" if it[-1] != "A" else "B"), lambda it: it[:21], str.upper])
def test_what_is_no_token_opens_nothing(platform, tokens, spoil):
    assert platform.accounts.of_token(spoil(tokens["ann"])) is None


def test_a_token_of_one_account_with_the_secret_of_another_opens_nothing(platform, tokens):
    prefix, of_ann, _ = tokens["ann"].split("_", 2)
    assert platform.accounts.of_token(f"{prefix}_{of_ann}_{tokens['bob'].split('_', 2)[2]}") is None


def test_no_secret_is_stored_in_clear(platform, engine, tokens):
    login = platform.accounts.log_in(tokens["ann"])
    stored = _everything(engine)
    assert "ann" in stored and login not in stored and accounts.csrf_token(login) not in stored
    assert not [token for token in tokens.values() if token.split("_", 2)[2] in stored]


def test_digests_are_compared_in_constant_time_whether_there_is_such_a_token_or_not(platform, tokens, monkeypatch):
    compared = []
    compare = accounts.hmac.compare_digest
    monkeypatch.setattr(accounts.hmac, "compare_digest", lambda *both: compared.append(both) or compare(*both))
    for token in (tokens["ann"], "ftk_" + "0" * 16 + "_" + "A" * 43, "no token"):
        platform.accounts.of_token(token)
    assert len(compared) == 3 and all(len(digest) == 64 for both in compared for digest in both)


def test_a_revoked_token_ends_with_its_sessions(platform, tokens):
    login, other = platform.accounts.log_in(tokens["ann"]), platform.accounts.new_token("ann")
    platform.accounts.revoke(tokens["ann"].split("_")[1])
    assert platform.accounts.of_token(tokens["ann"]) is None and platform.accounts.of_login(login) is None
    assert platform.accounts.log_in(tokens["ann"]) is None
    assert platform.accounts.of_token(other).name == "ann"


def test_a_session_lasts_some_hours_and_ends_when_it_is_left(platform, tokens, monkeypatch):
    login, left = (platform.accounts.log_in(tokens["ann"]) for _ in range(2))
    platform.accounts.log_out(left)
    assert platform.accounts.of_login(left) is None and platform.accounts.of_login(login).name == "ann"
    later = accounts.now() + accounts.LOGIN_SECONDS
    monkeypatch.setattr(accounts, "now", lambda: later)
    assert platform.accounts.of_login(login) is None


@pytest.mark.parametrize(
    "name, role", [("", "user"), ("a b", "user"), ("<b>", "user"), ("x" * 41, "user"), ("x", "god")]
)
def test_an_account_of_no_name_or_role_is_refused(platform, name, role):
    with pytest.raises(AccountError):
        platform.accounts.add(name, role)


def test_a_name_is_given_once(platform, tokens):
    with pytest.raises(AccountError, match="of that name"):
        platform.accounts.add("ann")
    with pytest.raises(AccountError, match="no such account"):
        platform.accounts.new_token("nobody")


def test_uses_are_counted_by_account_kind_and_hour(platform, callers, monkeypatch):
    def use(name, kind="upload"):
        platform.accounts.count(callers[name], kind, 2)

    use("ann"), use("ann"), use("bob"), use("ann", "verify")
    with pytest.raises(TooOftenError) as refused:
        use("ann")
    assert 0 < refused.value.seconds <= 3600
    later = accounts.now() + 3600
    monkeypatch.setattr(accounts, "now", lambda: later)
    use("ann")


def test_uses_at_the_same_time_are_not_counted_twice_or_lost(platform, callers):
    def use(_):
        try:
            platform.accounts.count(callers["ann"], "upload", 5)
            return "let in"
        except TooOftenError:
            return "refused"

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert collections.Counter(pool.map(use, range(20))) == {"let in": 5, "refused": 15}


def test_sessions_are_not_begun_without_end(platform, tokens, monkeypatch):
    monkeypatch.setattr(accounts, "_LOGINS", 2)
    assert all(platform.accounts.log_in(tokens["ann"]) for _ in range(2))
    with pytest.raises(accounts.TooOftenError, match="no more than 2 an hour"):
        platform.accounts.log_in(tokens["ann"])
    assert platform.accounts.log_in(tokens["bob"])
    assert platform.accounts.log_in("guess") is None


def test_secrets_of_signs_that_are_no_text_are_only_wrong(platform):
    assert not accounts.equal("\ud800", "a") and platform.accounts.of_login("\ud800") is None
