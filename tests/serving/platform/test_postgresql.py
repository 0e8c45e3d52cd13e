"""The same on a real PostgreSQL, where its server is installed."""

import concurrent.futures
import glob
import os
import pwd
import shutil
import subprocess

import pytest
import sqlalchemy as sa

from faketagger.serving.platform import service, tables
from faketagger.serving.platform.accounts import TooOftenError
from faketagger.serving.platform.service import Limits
from faketagger.tests.serving.platform.stubs import BlockTagger, jpeg, pixels_of, png, scene

pytestmark = pytest.mark.slow

_PROGRAMS = sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1:]


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """Of a database of this module's own, reached by a socket in its folder alone."""
    pytest.importorskip("psycopg")
    if not _PROGRAMS:
        pytest.skip("no PostgreSQL server is installed")
    folder = tmp_path_factory.mktemp("postgresql")
    options = {}
    if os.getuid() == 0:  # Which PostgreSQL refuses to run as.
        user = pwd.getpwnam("nobody")
        options = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        folder = folder.rename(f"/tmp/faketagger-postgresql-{os.getpid()}")
        os.chown(folder, user.pw_uid, user.pw_gid)

    def run(program, *arguments):
        command = [os.path.join(_PROGRAMS[0], program), *arguments]
        return subprocess.run(
            command,
            check=True,
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=120,
            **options,
        )

    data = os.path.join(folder, "data")
    run("initdb", "-D", data, "-U", "faketagger", "--auth=trust", "--no-sync")
    run("pg_ctl", "-D", data, "-w", "-o", f"-k {folder} -h '' -F", "-l", os.path.join(folder, "log"), "start")
    try:
        yield f"postgresql://faketagger@/postgres?host={folder}"
    finally:
        run("pg_ctl", "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def engine(url):
    """An empty database."""
    with sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg")).begin() as connection:
        connection.execute(sa.text("DROP SCHEMA public CASCADE"))
        connection.execute(sa.text("CREATE SCHEMA public"))
    made = tables.open_database(url)
    yield made
    made.dispose()


def test_pictures_are_tagged_traced_held_and_released(platform, callers, url):
    file = platform.fetch(callers["ann"], platform.upload(callers["ann"], png(scene(1)), "a.png").id).file
    held = platform.upload(callers["bob"], jpeg(pixels_of(file)), "b.jpg")
    (case,) = platform.queue(callers["mod"])
    assert (held.outcome, case.reason, case.matched.account.name) == ("held", "anothers", "ann")
    platform.decide(callers["mod"], case.id, release=True)
    assert platform.fetch(callers["bob"], held.id).file == jpeg(pixels_of(file))
    assert platform.upload(callers["bob"], jpeg(scene(1), 60), "c.jpg").outcome == "held"
    assert platform.verify(callers["svc"], file).owner == "ann"
    tables.open_database(url).dispose()  # Once more, by another process.


def test_uploads_at_the_same_time_all_get_uids_of_their_own(engine, callers):
    platform = service.Service(engine, BlockTagger(bits=5), Limits(at_once=8))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda seed: platform.upload(callers["ann"], png(scene(seed)), "a.png"), range(16)))
    assert {each.outcome for each in made} == {"tagged"} and len({each.picture_id for each in made}) == 16


def test_uses_at_the_same_time_are_counted(platform, callers):
    def use(_):
        try:
            platform.accounts.count(callers["ann"], "upload", 5)
            return True
        except TooOftenError:
            return False

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(use, range(20))) == 5


@pytest.mark.parametrize("path", ["/api/v1/uploads/%00", "/api/v1/uploads/a%00b/file", "/c2pa/manifests/urn:c2pa:%00"])
def test_signs_that_no_text_of_a_database_has_are_only_unknown_ids(client, bearer, path):
    assert client.get(path, headers=bearer("ann")).status_code == 404


@pytest.mark.parametrize("name", ["a\0b.png", "\ud800.png", "n" * 5000, "'; DROP TABLE uploads; --.png"])
def test_names_of_files_are_stored_whatever_they_hold(platform, callers, name):
    made = platform.upload(callers["ann"], png(scene(1)), name)
    assert platform.fetch(callers["ann"], made.id).name == service.plain_name(name)
