"""What the platform stores, as SQLAlchemy's tables, in SQLite or PostgreSQL; times are seconds since 1970, UTC.

Of secrets (tokens, sessions) only digests are stored.
"""

import os
from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm

# Of the schema, raised with every change of a table; MIGRATIONS says how an earlier one is brought up to it.
VERSION = 1
# Version → what makes it of the one before.
MIGRATIONS: Mapping[int, Callable[[sa.Connection], None]] = {}

_CONNECTIONS = 24  # More than there are threads that ask (app.py).
_SQLITE_WAIT_MS = 10_000  # For another process that writes.
_UPGRADE_LOCK = 2_846_217  # A number of our own among PostgreSQL's advisory locks.


class DatabaseError(Exception):
    """The database cannot be used; the message is for people."""


class Base(orm.DeclarativeBase):
    """Of all tables."""

    type_annotation_map = {dict[str, Any]: sa.JSON, list[Any]: sa.JSON, bytes: sa.LargeBinary, int: sa.BigInteger}


def _number() -> orm.Mapped[int]:
    # SQLite counts up by itself only where the key is an INTEGER.
    return orm.mapped_column(sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True)


class Account(Base):
    """Who uploads. `role` is one of accounts.ROLES; `public`: others are told the name."""

    __tablename__ = "accounts"
    id: orm.Mapped[int] = _number()
    name: orm.Mapped[str] = orm.mapped_column(sa.String(40), unique=True)
    role: orm.Mapped[str] = orm.mapped_column(sa.String(16))
    public: orm.Mapped[bool]
    created: orm.Mapped[int]


class Token(Base):
    """A secret for programs, and to log in with; `id` is its first part, which is no secret."""

    __tablename__ = "tokens"
    id: orm.Mapped[str] = orm.mapped_column(sa.String(16), primary_key=True)
    account_id: orm.Mapped[int] = orm.mapped_column(sa.ForeignKey("accounts.id"), index=True)
    digest: orm.Mapped[str] = orm.mapped_column(sa.String(64))
    created: orm.Mapped[int]
    revoked: orm.Mapped[int | None]


class Login(Base):
    """A session of the pages."""

    __tablename__ = "logins"
    digest: orm.Mapped[str] = orm.mapped_column(sa.String(64), primary_key=True)
    token_id: orm.Mapped[str] = orm.mapped_column(sa.ForeignKey("tokens.id"), index=True)
    expires: orm.Mapped[int] = orm.mapped_column(index=True)


class Use(Base):
    """How often an account has asked for something in an hour."""

    __tablename__ = "uses"
    account_id: orm.Mapped[int] = orm.mapped_column(sa.ForeignKey("accounts.id"), primary_key=True)
    kind: orm.Mapped[str] = orm.mapped_column(sa.String(16), primary_key=True)
    hour: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    count: orm.Mapped[int]


class Picture(Base):
    """A tagged picture.

    Attributes:
      id: a random UUID, by which others may be told of it.
      uid: its tag, decimal: taggers may have more bits than a database's numbers.
      hash_whole, hash_outside: perceptual hashes (fingerprints.py), hexadecimal; the second is of what lies outside its
        faces, None where there are none or hardly anything is.
      boxes: of its faces, [left, top, right, bottom] in shares of its sides, the largest first.
      preview: a small JPEG of it, without metadata.
    """

    __tablename__ = "pictures"
    __table_args__ = (sa.UniqueConstraint("key_fingerprint", "uid"),)
    id: orm.Mapped[str] = orm.mapped_column(sa.String(36), primary_key=True)
    uid: orm.Mapped[str] = orm.mapped_column(sa.String(40))
    key_fingerprint: orm.Mapped[str] = orm.mapped_column(sa.String(16))
    account_id: orm.Mapped[int] = orm.mapped_column(sa.ForeignKey("accounts.id"), index=True)
    created: orm.Mapped[int]
    hash_whole: orm.Mapped[str] = orm.mapped_column(sa.String(16))
    hash_outside: orm.Mapped[str | None] = orm.mapped_column(sa.String(16))
    boxes: orm.Mapped[list[Any]]
    width: orm.Mapped[int]
    height: orm.Mapped[int]
    preview: orm.Mapped[bytes]
    account: orm.Mapped[Account] = orm.relationship(lazy="joined")


class Band(Base):
    """A part of a picture's hash, by which near ones are found (registry.py)."""

    __tablename__ = "bands"
    picture_id: orm.Mapped[str] = orm.mapped_column(sa.ForeignKey("pictures.id"), primary_key=True)
    value: orm.Mapped[int] = orm.mapped_column(primary_key=True, index=True)


class Upload(Base):
    """A file that was uploaded, and what became of it.

    Attributes:
      outcome: one of service.OUTCOMES.
      name: what the uploader called the file: shown, never a path.
      picture_id: the registered picture that it became, or is.
      file: what the uploader may fetch, or what waits for a moderator; None when it is gone.
      has_file: whether it is there, where `Service.uploads` has asked.
      format: the file's.
      preview, residual: small JPEGs; of what was rejected the preview is empty.
    """

    __tablename__ = "uploads"
    id: orm.Mapped[str] = orm.mapped_column(sa.String(36), primary_key=True)
    account_id: orm.Mapped[int] = orm.mapped_column(sa.ForeignKey("accounts.id"), index=True)
    created: orm.Mapped[int] = orm.mapped_column(index=True)
    name: orm.Mapped[str] = orm.mapped_column(sa.String(100))
    outcome: orm.Mapped[str] = orm.mapped_column(sa.String(16))
    picture_id: orm.Mapped[str | None] = orm.mapped_column(sa.ForeignKey("pictures.id"))
    file: orm.Mapped[bytes | None] = orm.mapped_column(deferred=True)
    has_file: orm.Mapped[bool | None] = orm.query_expression()
    format: orm.Mapped[str] = orm.mapped_column(sa.String(8))
    preview: orm.Mapped[bytes]
    residual: orm.Mapped[bytes | None]
    account: orm.Mapped[Account] = orm.relationship(lazy="joined")
    picture: orm.Mapped[Picture | None] = orm.relationship()


class Case(Base):
    """A held upload, for moderators. `matched_id` is the registered picture whose tag or look it has."""

    __tablename__ = "cases"
    id: orm.Mapped[int] = _number()
    upload_id: orm.Mapped[str] = orm.mapped_column(sa.ForeignKey("uploads.id"), unique=True)
    matched_id: orm.Mapped[str | None] = orm.mapped_column(sa.ForeignKey("pictures.id"))
    reason: orm.Mapped[str] = orm.mapped_column(sa.String(16))
    facts: orm.Mapped[dict[str, Any]]
    state: orm.Mapped[str] = orm.mapped_column(sa.String(16), index=True)
    moderator_id: orm.Mapped[int | None] = orm.mapped_column(sa.ForeignKey("accounts.id"))
    decided: orm.Mapped[int | None]
    upload: orm.Mapped[Upload] = orm.relationship(lazy="joined")
    matched: orm.Mapped[Picture | None] = orm.relationship(lazy="joined")


class Entry(Base):
    """A line of the audit log: who did what to what, and when; lines are only ever added."""

    __tablename__ = "audit"
    id: orm.Mapped[int] = _number()
    at: orm.Mapped[int]
    account_id: orm.Mapped[int | None] = orm.mapped_column(sa.ForeignKey("accounts.id"))
    action: orm.Mapped[str] = orm.mapped_column(sa.String(32))
    subject: orm.Mapped[str] = orm.mapped_column(sa.String(64))


class _Schema(Base):
    __tablename__ = "schema_version"
    version: orm.Mapped[int] = orm.mapped_column(primary_key=True, autoincrement=False)


def open_database(url: str) -> sa.Engine:
    """The database at SQLAlchemy's URL, with the tables of this version: made, or brought up to it.

    Args:
      url: sqlite:///PATH, which is made readable by its owner alone, or postgresql://….

    Raises:
      DatabaseError: it cannot be opened, or belongs to a newer version.
    """
    try:
        address = _address(url)
        if address.drivername == "postgresql":
            address = address.set(drivername="postgresql+psycopg")
        if address.get_backend_name() == "sqlite" and address.database in (None, "", ":memory:"):
            raise DatabaseError("a database in memory is each thread's own: name a file, sqlite:///PATH")
        engine = sa.create_engine(address, pool_pre_ping=True, pool_size=_CONNECTIONS, hide_parameters=True)
        if address.get_backend_name() == "sqlite":
            _prepare_sqlite(engine, address.database or "")
        upgrade(engine)
    except (sa.exc.SQLAlchemyError, OSError, ImportError) as error:
        # Of the URL no more than this: it may hold a password.
        raise DatabaseError(f"the database cannot be opened: {first_line(error)}") from error
    return engine


def _address(url: str) -> sa.URL:
    try:
        return sa.make_url(url)
    except ValueError as error:  # It cites what it took for the port, which may be a part of the password.
        raise DatabaseError("the database cannot be opened: the port in its URL is no number") from error


def _prepare_sqlite(engine: sa.Engine, path: str) -> None:
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))

    @sa.event.listens_for(engine, "connect")
    def set_up(connection: Any, _: Any) -> None:
        for setting in ("foreign_keys=ON", "journal_mode=WAL", f"busy_timeout={_SQLITE_WAIT_MS}"):
            connection.execute(f"PRAGMA {setting}")


def changed(session: orm.Session, statement: sa.Update) -> bool:
    """Whether an update has found a row."""
    result = session.execute(statement)
    return isinstance(result, sa.CursorResult) and result.rowcount > 0


def upgrade(
    engine: sa.Engine, migrations: Mapping[int, Callable[[sa.Connection], None]] = MIGRATIONS, version: int = VERSION
) -> None:
    """Makes the tables, or brings those of an earlier version up to `version`; DatabaseError where they are newer.

    Of several programs that begin with a new database one makes them, and the others wait.
    """
    with engine.begin() as connection:
        _wait_for_others(connection)
        there = sa.inspect(connection).has_table(_Schema.__tablename__)
        found = connection.execute(sa.select(_Schema.version)).scalar_one_or_none() if there else None
        if found is None:  # Or its making was cut off: SQLite keeps each table that was made.
            Base.metadata.create_all(connection)
            connection.execute(sa.insert(_Schema).values(version=version))
            return
        if found > version:
            raise DatabaseError(f"the database is of version {found}, this program of {version}: use a newer one")
        for step in range(found + 1, version + 1):
            migrations[step](connection)
        connection.execute(sa.update(_Schema).values(version=version))


def _wait_for_others(connection: sa.Connection) -> None:
    """Until this transaction ends, no other one looks for the tables or makes them."""
    if connection.dialect.name == "sqlite":
        connection.execute(sa.text("BEGIN IMMEDIATE"))
    elif connection.dialect.name == "postgresql":
        connection.execute(sa.text(f"SELECT pg_advisory_xact_lock({_UPGRADE_LOCK})"))


def first_line(error: Exception) -> str:
    """What a database said, without the statement that it was asked for."""
    cause = getattr(error, "orig", None) or error
    return (str(cause).splitlines() or [type(cause).__name__])[0]
