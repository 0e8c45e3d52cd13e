"""The database: made, kept and upgraded; nothing secret in it."""

import concurrent.futures
import os
import stat
import threading

import pytest
import sqlalchemy as sa

from faketagger.serving.platform import tables


def test_a_new_database_is_of_this_version_and_its_owner_alone_may_read_it(tmp_path):
    path = tmp_path / "platform.db"
    engine = tables.open_database(f"sqlite:///{path}")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert {"accounts", "pictures", "uploads", "cases", "audit"} <= set(sa.inspect(engine).get_table_names())
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT version FROM schema_version")).scalar_one() == tables.VERSION


def test_opening_again_keeps_what_is_there(tmp_path):
    url = f"sqlite:///{tmp_path / 'platform.db'}"
    with tables.open_database(url).begin() as connection:
        connection.execute(sa.insert(tables.Account).values(name="ann", role="user", public=False, created=1))
    with tables.open_database(url).connect() as connection:
        assert connection.execute(sa.select(tables.Account.name)).scalars().all() == ["ann"]


def test_a_first_start_that_was_cut_off_is_made_up_for(tmp_path):
    url = f"sqlite:///{tmp_path / 'platform.db'}"
    with tables.open_database(url).begin() as connection:
        connection.execute(sa.text("DELETE FROM schema_version"))
        connection.execute(sa.text("DROP TABLE audit"))
    engine = tables.open_database(url)
    assert "audit" in sa.inspect(engine).get_table_names()
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT version FROM schema_version")).scalar_one() == tables.VERSION


def test_programs_that_begin_at_a_time_with_a_new_database_all_begin(tmp_path):
    url, many = f"sqlite:///{tmp_path / 'platform.db'}", 8
    together = threading.Barrier(many)

    def begin(_):
        together.wait()
        return tables.open_database(url)

    with concurrent.futures.ThreadPoolExecutor(many) as pool:
        engines = list(pool.map(begin, range(many)))
    with engines[-1].connect() as connection:
        assert connection.execute(sa.text("SELECT version FROM schema_version")).scalar_one() == tables.VERSION


def test_an_earlier_version_is_brought_up_step_by_step_and_once(engine):
    done = []
    steps = {tables.VERSION + it: lambda connection, it=it: done.append(it) for it in (1, 2)}
    tables.upgrade(engine, steps, tables.VERSION + 2)
    tables.upgrade(engine, steps, tables.VERSION + 2)
    assert done == [1, 2]


def test_a_step_that_fails_leaves_the_version_as_it_was(engine):
    def fails(connection):
        raise ValueError("no")

    with pytest.raises(ValueError):
        tables.upgrade(engine, {tables.VERSION + 1: fails}, tables.VERSION + 1)
    tables.upgrade(engine)


def test_a_database_of_a_newer_version_is_refused(tmp_path):
    url = f"sqlite:///{tmp_path / 'platform.db'}"
    with tables.open_database(url).begin() as connection:
        connection.execute(sa.text("UPDATE schema_version SET version = 99"))
    with pytest.raises(tables.DatabaseError, match="of version 99"):
        tables.open_database(url)


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "sqlite://",
        "sqlite:////no/such/folder/x.db",
        "postgresql://u:hidden@127.0.0.1:1/x",
        "postgresql://u:hidden@127.0.0.1:54a/x",
        "postgresql://u:half@other:hidden@127.0.0.1/x",
    ],
)
def test_a_database_that_cannot_be_opened_is_told_in_a_line_without_its_password(url):
    with pytest.raises(tables.DatabaseError) as failed:
        tables.open_database(url)
    assert "\n" not in str(failed.value) and "hidden" not in str(failed.value)


def test_what_a_failing_statement_was_about_is_not_told(engine):
    with engine.connect() as connection, pytest.raises(sa.exc.OperationalError) as failed:
        connection.execute(sa.text("SELECT :value FROM nowhere"), {"value": "swordfish"})
    assert "nowhere" in str(failed.value) and "swordfish" not in str(failed.value)
