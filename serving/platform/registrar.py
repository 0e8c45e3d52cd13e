"""Registers pictures that were tagged elsewhere (archives), under UIDs that were drawn before; safe to call twice."""

import contextlib
import os
from collections.abc import Iterator, Sequence

import numpy as np
import sqlalchemy as sa
from sqlalchemy import exc, orm

from faketagger.serving.platform import DATABASE_VARIABLE, accounts, fingerprints, registry, tables
from faketagger.serving.platform.accounts import AccountError, Caller
from faketagger.serving.platform.tables import Account, Entry


class TakenError(Exception):
    """Another's picture has got the UID meanwhile."""


class Registrar:
    """The registry of a platform; safe to call from several threads.

    Its methods may raise tables.DatabaseError: the database fails.
    """

    def __init__(self, engine: sa.Engine):
        self._engine = engine

    @classmethod
    def open(cls) -> "Registrar":
        """Of the environment's database; tables.DatabaseError where it names none, or it cannot be opened."""
        address = os.environ.get(DATABASE_VARIABLE)
        if not address:
            raise tables.DatabaseError(f"which database? --database or ${DATABASE_VARIABLE} says so")
        return cls(tables.open_database(address))

    def check_owners(self, names: Sequence[str]) -> None:
        """AccountError where somebody has no account."""
        with self._session() as session:
            for name in names:
                _account(session, name)

    def free_uids(self, key_fingerprint: str, bits: int, count: int) -> list[int]:
        """UIDs of `bits` bits that no picture of the key has, each once; registry.FullError where few are left."""
        found: dict[int, None] = {}
        with self._session() as session:
            for _ in range(4 * count + 1000):
                if len(found) == count:
                    return list(found)
                found.setdefault(registry.free_uid(session, key_fingerprint, bits))
        raise registry.FullError("hardly any UID is left: a tagger of more bits or another key is needed")

    def register(
        self, owner: str, uid: int, key_fingerprint: str, pixels: np.ndarray, boxes: Sequence[fingerprints.Box]
    ) -> str:
        """Registers a tagged picture, and returns its ID; that of before where it is registered already.

        Args:
          owner: the name of an account.
          uid, key_fingerprint: of the tag.
          pixels: uint8 [H, W, 3], tagged.
          boxes: of its faces, in pixels.

        Raises:
          TakenError: the UID is another's.
          AccountError: there is no such account.
        """
        try:
            with self._session() as session:
                caller = _account(session, owner)
                known = registry.by_uid(session, key_fingerprint, uid)
                if known is not None:
                    if known.account_id != caller.id or known.hash_whole != fingerprints.hash_whole(pixels):
                        raise TakenError("another picture has got its UID meanwhile")
                    return known.id
                relative = fingerprints.relative(boxes, pixels)
                made = registry.add(session, caller, uid, key_fingerprint, pixels, relative)
                session.add(
                    Entry(at=accounts.now(), account_id=caller.id, action="archive registered", subject=made.id)
                )
                return made.id
        except exc.IntegrityError as error:
            raise TakenError("another picture has got its UID meanwhile") from error

    @contextlib.contextmanager
    def _session(self) -> Iterator[orm.Session]:
        try:
            with orm.Session(self._engine) as session, session.begin():
                yield session
        except exc.IntegrityError:  # Of a picture, not of the database.
            raise
        except exc.SQLAlchemyError as error:
            raise tables.DatabaseError(f"the platform's database: {tables.first_line(error)}") from error


def _account(session: orm.Session, name: str) -> Caller:
    account = session.scalars(sa.select(Account).where(Account.name == name)).one_or_none()
    if account is None:
        raise AccountError(f"{name}: there is no such account; `faketagger platform account {name}` makes it")
    return Caller(account.id, account.name, account.role, "")
