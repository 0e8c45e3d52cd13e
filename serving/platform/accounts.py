"""Accounts, their tokens and sessions, and how often each may ask.

A token is `ftk_ID_SECRET`: the ID finds its row, the secret's digest is compared in constant time. Secrets are 256
random bits, so that one round of SHA-256 hides them as well as many would.
"""

import dataclasses
import hashlib
import hmac
import re
import secrets
import time

import sqlalchemy as sa
from sqlalchemy import exc, orm

from faketagger.serving.platform import tables
from faketagger.serving.platform.tables import Account, Entry, Login, Token, Use

USER, SERVICE, MODERATOR = "user", "service", "moderator"
# Services resolve tags for others (c2pa.py) and so may know of every picture, as moderators may.
ROLES = (USER, SERVICE, MODERATOR)
LOGIN_SECONDS = 12 * 3600

_PREFIX = "ftk"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
_TOKEN = re.compile(rf"{_PREFIX}_([0-9a-f]{{16}})_([A-Za-z0-9_-]{{43}})")
_NOBODY = hashlib.sha256(b"no token has this digest").hexdigest()
_HOUR = 3600
_LOGINS = 60  # Of an account in an hour: each is a row.


class AccountError(Exception):
    """An account or token cannot be made or found; the message is for people."""


class TooOftenError(Exception):
    """An account has asked for more than it may.

    Attributes:
      seconds: until it may ask again.
    """

    def __init__(self, what: str, seconds: int):
        super().__init__(f"{what}: try again in {seconds} s")
        self.seconds = seconds


@dataclasses.dataclass(frozen=True)
class Caller:
    """Who asks. `token_id` is that of the token in use."""

    id: int
    name: str
    role: str
    token_id: str

    @property
    def is_moderator(self) -> bool:
        return self.role == MODERATOR

    @property
    def may_know_all(self) -> bool:
        """Whether no picture's owner is hidden from it."""
        return self.role in (MODERATOR, SERVICE)


class Accounts:
    """The accounts in a database; safe to call from several threads."""

    def __init__(self, engine: sa.Engine):
        self._engine = engine

    def add(self, name: str, role: str = USER, public: bool = False) -> str:
        """Makes an account and returns its first token, which nobody can tell again; AccountError where it cannot."""
        if not _NAME.fullmatch(name):
            raise AccountError(f"{name}: a name is at most 40 letters, digits, '.', '_' and '-', no sign first")
        if role not in ROLES:
            raise AccountError(f"{role}: there is no such role; there are {', '.join(ROLES)}")
        try:
            with orm.Session(self._engine) as session, session.begin():
                account = Account(name=name, role=role, public=public, created=now())
                session.add(account)
                session.flush()
                return _new_token(session, account.id)
        except exc.IntegrityError:
            raise AccountError(f"{name}: there is an account of that name") from None

    def new_token(self, name: str) -> str:
        """One more token of an account."""
        with orm.Session(self._engine) as session, session.begin():
            account = session.scalars(sa.select(Account).where(Account.name == name)).one_or_none()
            if account is None:
                raise AccountError(f"{name}: there is no such account")
            return _new_token(session, account.id)

    def revoke(self, token_id: str) -> None:
        """Ends a token, by its ID or as a whole, and the sessions that began with it."""
        match = _TOKEN.fullmatch(token_id)
        token_id = match[1] if match else token_id
        with orm.Session(self._engine) as session, session.begin():
            token = session.get(Token, token_id)
            if token is None:
                raise AccountError("there is no such token")
            token.revoked = now()
            session.execute(sa.delete(Login).where(Login.token_id == token_id))
            session.add(Entry(at=now(), account_id=token.account_id, action="token revoked", subject=token_id))

    def of_token(self, text: str) -> Caller | None:
        """Whose token it is; None where it is none."""
        match = _TOKEN.fullmatch(text)
        token_id, secret = match.groups() if match else ("", "")
        with orm.Session(self._engine) as session:
            token = session.get(Token, token_id)
            # Compared with something in any case: the time taken does not tell which IDs there are.
            right = hmac.compare_digest(_digest(secret), token.digest if token else _NOBODY)
            return _caller(session, token) if right and token else None

    def log_in(self, token: str) -> str | None:
        """Begins a session of the pages and returns its secret; None where the token is none.

        Raises:
          TooOftenError: the account has begun very many in this hour.
        """
        caller, secret = self.of_token(token), secrets.token_urlsafe(32)
        if caller is None:
            return None
        self.count(caller, "login", _LOGINS)
        with orm.Session(self._engine) as session, session.begin():
            session.execute(sa.delete(Login).where(Login.expires <= now()))
            session.add(Login(digest=_digest(secret), token_id=caller.token_id, expires=now() + LOGIN_SECONDS))
            session.add(Entry(at=now(), account_id=caller.id, action="logged in", subject=caller.token_id))
        return secret

    def of_login(self, secret: str) -> Caller | None:
        """Whose session it is; None where it is none, or over."""
        with orm.Session(self._engine) as session:
            login = session.get(Login, _digest(secret))
            if login is None or login.expires <= now():
                return None
            return _caller(session, session.get(Token, login.token_id))

    def log_out(self, secret: str) -> None:
        """Ends a session."""
        with orm.Session(self._engine) as session, session.begin():
            session.execute(sa.delete(Login).where(Login.digest == _digest(secret)))

    def count(self, caller: Caller, kind: str, most: int) -> None:
        """Counts one use of a kind; TooOftenError where the account has had `most` in this hour."""
        hour, left = divmod(now(), _HOUR)
        here = {"account_id": caller.id, "kind": kind, "hour": hour}
        one_more = sa.update(Use).filter_by(**here).where(Use.count < most).values(count=Use.count + 1)
        for _ in range(2):  # Where there is a row by now that was not there before, another call has made it.
            try:
                with orm.Session(self._engine) as session, session.begin():
                    if tables.changed(session, one_more):
                        return
                    session.execute(sa.delete(Use).where(Use.account_id == caller.id, Use.hour < hour))
                    session.add(Use(**here, count=1))
                return
            except exc.IntegrityError:
                continue
        raise TooOftenError(f"no more than {most} an hour are allowed", _HOUR - left)


def csrf_token(secret: str) -> str:
    """What a session's forms send along, which other sites cannot know; tells nothing of the session's secret."""
    return hmac.new(secret.encode(), b"faketagger platform: forms", hashlib.sha256).hexdigest()


def equal(one: str, other: str) -> bool:
    """Whether two secrets are the same, in a time that does not tell where they differ."""
    return hmac.compare_digest(one.encode(errors="replace"), other.encode(errors="replace"))


def now() -> int:
    """Seconds since 1970."""
    return int(time.time())


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()


def _new_token(session: orm.Session, account_id: int) -> str:
    token_id, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
    session.add(Token(id=token_id, account_id=account_id, digest=_digest(secret), created=now()))
    session.add(Entry(at=now(), account_id=account_id, action="token made", subject=token_id))
    return f"{_PREFIX}_{token_id}_{secret}"


def _caller(session: orm.Session, token: Token | None) -> Caller | None:
    if token is None or token.revoked is not None:
        return None
    account = session.get_one(Account, token.account_id)
    return Caller(account.id, account.name, account.role, token.id)
