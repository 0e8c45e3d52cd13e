"""Pictures are tagged at upload and traced when they come back; owners are named to who may know them alone."""

import concurrent.futures
import threading

import cv2
import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy import orm

from faketagger.serving.outcomes import Outcome
from faketagger.serving.platform import accounts, registry, service, tables, words
from faketagger.serving.platform.accounts import TooOftenError
from faketagger.serving.platform.fingerprints import Change
from faketagger.serving.platform.service import ConflictError, Limits, MissingError, RefusedError
from faketagger.serving.platform.tagger import UnavailableError
from faketagger.tests.serving.platform.stubs import BITS, ROWS, BlockTagger, jpeg, pixels_of, png, scene

FACE = (60.0, 60.0, 132.0, 132.0)


@pytest.fixture
def tagged(platform, callers):
    """The tagged file of a picture that ann has uploaded, and what was registered."""

    def make(pixels, name="ann"):
        upload = platform.fetch(callers[name], platform.upload(callers[name], png(pixels), "a.png").id)
        return upload.file, upload.picture

    return make


def _copied(file, pixels):
    """Another picture with the blocks of a tagged one."""
    other = pixels.copy()
    other[:ROWS] = pixels_of(file)[:ROWS]
    return other


def _swapped(file):
    """Its face replaced by another's."""
    pixels = pixels_of(file).copy()
    pixels[60:132, 60:132] = scene(99)[60:132, 60:132]
    return pixels


def test_an_untagged_picture_is_tagged_registered_and_given_back(platform, callers, tagger, tagged):
    file, picture = tagged(scene(1))
    found = tagger.read(pixels_of(file))
    assert (found.outcome, str(found.candidate)) == (Outcome.TAGGED, picture.uid)
    assert (picture.account.name, picture.width, picture.height) == ("ann", 192, 192)
    assert np.array_equal(pixels_of(file)[ROWS:], scene(1)[ROWS:])


def test_the_file_comes_back_in_its_own_format(platform, callers, tagger):
    upload = platform.fetch(callers["ann"], platform.upload(callers["ann"], jpeg(scene(1), 95), "a.jpg").id)
    assert upload.file.startswith(b"\xff\xd8\xff") and service.file_name(upload) == "a.tagged.jpg"
    assert str(tagger.read(pixels_of(upload.file)).candidate) == upload.picture.uid


@pytest.mark.parametrize("format, name", [("HEIF", "a.tagged.heic"), ("JPEG", "a.tagged.jpg")])
def test_a_file_that_is_given_back_as_it_came_keeps_its_ending(format, name):
    assert service.file_name(tables.Upload(name="a.heic", format=format)) == name


def test_what_carries_ones_own_tag_is_accepted_and_not_tagged_again(platform, callers, tagged, engine):
    file, picture = tagged(scene(1))
    again = platform.upload(callers["ann"], jpeg(pixels_of(file)), "again.jpg")
    assert (again.outcome, again.picture_id) == (service.ACCEPTED, picture.id)
    with orm.Session(engine) as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(tables.Picture)) == 1


def test_what_carries_anothers_tag_is_held_and_its_owner_named_to_moderators_alone(platform, callers, tagged):
    file, picture = tagged(scene(1))
    held = platform.upload(callers["bob"], file, "mine.png")
    assert held.outcome == service.HELD and "ann" not in words.OF_OUTCOME[service.HELD]
    assert platform.fetch(callers["bob"], held.id).file is None and held.picture_id is None
    (case,) = platform.queue(callers["mod"])
    assert (case.reason, case.matched.account.name, case.upload.account.name) == (service.ANOTHERS, "ann", "bob")
    for name in ("ann", "bob", "svc"):
        with pytest.raises(MissingError):
            platform.queue(callers[name])
        with pytest.raises(MissingError):
            platform.case(callers[name], case.id)
        with pytest.raises(MissingError):
            platform.audit(callers[name])


def test_a_tag_that_was_copied_onto_another_picture_is_held_as_that_even_by_its_owner(platform, callers, tagged):
    file, _ = tagged(scene(1))
    forged = png(_copied(file, scene(2)))
    for name in ("bob", "ann"):
        assert platform.upload(callers[name], forged, "x.png").outcome == service.HELD
    assert [case.reason for case in platform.queue(callers["mod"])] == [service.COPIED] * 2


def test_a_tag_that_nobody_has_registered_is_held(platform, callers, tagged):
    file, picture = tagged(scene(1))
    pixels = scene(2)
    BlockTagger().tag(_Plain(pixels), (int(picture.uid) + 1) % 2**BITS, replace=False)
    assert platform.upload(callers["bob"], png(pixels), "x.png").outcome == service.HELD
    (case,) = platform.queue(callers["mod"])
    assert (case.reason, case.matched) == (service.UNKNOWN, None)


class _Plain:
    def __init__(self, pixels):
        self.pixels = pixels

    def rgb(self):
        return self.pixels


def test_a_picture_whose_tag_was_erased_is_held_by_its_look(platform, callers, tagged):
    tagged(scene(1))
    erased = jpeg(scene(1), 60)
    assert platform.upload(callers["bob"], erased, "x.jpg").outcome == service.HELD
    (case,) = platform.queue(callers["mod"])
    assert (case.reason, case.matched.account.name) == (service.ALIKE, "ann")
    assert platform.upload(callers["ann"], erased, "x.jpg").outcome == service.TAGGED


def test_an_uncertain_tag_counts_only_with_the_registered_picture(platform, callers, tagger, tagged):
    file, _ = tagged(scene(1))
    tagger.uncertain = True
    verdict = platform.verify(callers["bob"], file)
    assert (verdict.outcome, verdict.by, verdict.change) == (Outcome.PERHAPS, service.BY_CANDIDATE, Change.NONE)
    unrelated = platform.verify(callers["bob"], png(_copied(file, scene(2))))
    assert (unrelated.outcome, unrelated.by, unrelated.owner) == (Outcome.NO_TAG, None, None)
    assert platform.upload(callers["bob"], file, "x.png").outcome == service.HELD


def test_a_tag_too_faint_to_be_read_unasked_is_asked_for_where_pictures_look_alike(platform, callers, tagger, tagged):
    (_, picture), (_, other) = tagged(scene(1)), tagged(scene(2))
    tagger.faint = (int(picture.uid), int(other.uid))
    remade = jpeg(_remade(scene(1)))
    verdict = platform.verify(callers["ann"], remade)
    assert (verdict.outcome, verdict.by, verdict.p_value) == (Outcome.PERHAPS, service.BY_CANDIDATE, 1e-7)
    assert tagger.asked == [[int(picture.uid)]]
    assert platform.upload(callers["bob"], remade, "x.jpg").outcome == service.HELD
    (case,) = platform.queue(callers["mod"])
    assert (case.reason, case.matched_id) == (service.ANOTHERS, picture.id)
    tagger.faint = (int(other.uid),)
    assert platform.verify(callers["ann"], remade).by is None


def _remade(pixels):
    """So much that its look alone holds nothing, and still recognisable."""
    slope = np.linspace(0, 110, pixels.shape[1])[:, None]
    return np.uint8(np.clip(cv2.GaussianBlur(pixels, (0, 0), 9) + slope, 0, 255))


def test_a_swapped_face_is_told_from_the_rest(platform, callers, tagger, tagged):
    tagger.boxes = (FACE,)
    file, _ = tagged(scene(1))
    same, faked = platform.verify(callers["ann"], file), platform.verify(callers["ann"], jpeg(_swapped(file)))
    assert (same.change, faked.change) == (Change.NONE, Change.FACE)
    assert "swapped" in " ".join(words.of_verdict(faked))
    assert platform.upload(callers["bob"], png(_swapped(file)), "x.png").outcome == service.HELD


@pytest.mark.parametrize(
    "asker, named, shown",
    [("ann", "ann", True), ("bob", None, False), ("svc", "ann", False), ("mod", "ann", True)],
)
def test_verify_names_an_owner_to_who_may_know_him(platform, callers, tagged, asker, named, shown):
    file, picture = tagged(scene(1))
    verdict = platform.verify(callers[asker], file)
    assert (verdict.outcome, verdict.owner, verdict.original is not None) == (Outcome.TAGGED, named, shown)
    assert (verdict.picture_id == picture.id) == (named is not None)


def test_who_shows_his_name_is_named_to_all_and_his_picture_is_not_shown(platform, callers, tagged):
    verdict = platform.verify(callers["bob"], tagged(scene(1), "pia")[0])
    assert (verdict.owner, verdict.original) == ("pia", None)


def test_no_verdict_calls_a_picture_authentic(platform, callers, tagged):
    files = [tagged(scene(1))[0], png(scene(2)), png(_copied(tagged(scene(3))[0], scene(4)))]
    said = " ".join(" ".join(words.of_verdict(platform.verify(callers["ann"], file))) for file in files)
    said += " ".join([*words.OF_CHANGE.values(), *words.OF_OUTCOME.values(), *words.OF_REASON.values()])
    assert not [word for word in ("authentic", "genuine", "real ", "original") if word in said.lower()]
    assert "No tag was found. That says nothing" in said


@pytest.mark.parametrize("flipped, found", [(0, True), (1, True), (registry.NEAR_BITS, True), (9, False)])
def test_pictures_are_found_by_hashes_that_are_near_wherever_the_bits_differ(platform, callers, tagged, flipped, found):
    _, picture = tagged(scene(1))
    for first in range(64 - flipped):
        for step in (1, 7):
            bits = sum(1 << (first + step * it) % 64 for it in range(flipped))
            near = f"{int(picture.hash_whole, 16) ^ bits:016x}"
            matches = [(it.id, apart) for it, apart in platform.matches_of_hash(callers["svc"], near)]
            assert matches == [(picture.id, flipped)] * found


def test_uids_are_drawn_at_random_and_never_twice(engine):
    with orm.Session(engine) as session:
        drawn = {registry.free_uid(session, "k", 30) for _ in range(50)}
    assert len(drawn) == 50 and max(drawn) - min(drawn) > 2**28


def test_all_uids_are_given_before_none_is_left(engine, callers):
    platform = service.Service(engine, BlockTagger(bits=2), Limits(uploads=100))
    for seed in range(4):
        platform.upload(callers["ann"], png(scene(seed)), "a.png")
    with orm.Session(engine) as session:
        given = session.scalars(sa.select(tables.Picture.uid)).all()
    assert sorted(given) == ["0", "1", "2", "3"]
    with pytest.raises(registry.FullError):
        platform.upload(callers["ann"], png(scene(9)), "a.png")


def test_a_uid_that_another_upload_took_meanwhile_is_drawn_again(platform, callers, engine, monkeypatch, tagged):
    taken = int(tagged(scene(1))[1].uid)
    free, drawn = registry.free_uid, iter([taken])
    monkeypatch.setattr(registry, "free_uid", lambda *given: next(drawn, None) or free(*given))
    other = platform.fetch(callers["ann"], platform.upload(callers["ann"], png(scene(2)), "b.png").id)
    assert int(other.picture.uid) != taken
    assert str(BlockTagger().read(pixels_of(other.file)).candidate) == other.picture.uid


def test_a_copy_that_a_moderator_releases_is_given_back_as_it_is(platform, callers, tagged):
    file, _ = tagged(scene(1))
    held = platform.upload(callers["bob"], file, "x.png")
    (case,) = platform.queue(callers["mod"])
    assert platform.decide(callers["mod"], case.id, release=True).state == service.RELEASED
    assert platform.fetch(callers["bob"], held.id).file == file and platform.queue(callers["mod"]) == []


def test_what_was_held_wrongly_is_tagged_as_its_uploaders_when_it_is_released(platform, callers, tagger, tagged):
    file, first = tagged(scene(1))
    held = platform.upload(callers["bob"], png(_copied(file, scene(2))), "x.png")
    (case,) = platform.queue(callers["mod"])
    platform.decide(callers["mod"], case.id, release=True)
    upload = platform.fetch(callers["bob"], held.id)
    assert (upload.outcome, upload.picture.account.name) == (service.RELEASED, "bob")
    assert str(tagger.read(pixels_of(upload.file)).candidate) == upload.picture.uid != first.uid


def test_what_a_moderator_rejects_is_deleted(platform, callers, tagged, engine):
    held = platform.upload(callers["bob"], tagged(scene(1))[0], "x.png")
    platform.decide(callers["mod"], platform.queue(callers["mod"])[0].id, release=False)
    assert platform.fetch(callers["bob"], held.id).outcome == service.REJECTED
    with orm.Session(engine) as session:
        kept = session.execute(
            sa.select(tables.Upload.file, tables.Upload.preview).where(tables.Upload.id == held.id)
        ).one()
        assert tuple(kept) == (None, b"")


def test_a_case_is_decided_once_and_not_by_its_uploader(platform, callers, tagged):
    file, _ = tagged(scene(1))
    platform.upload(callers["bob"], file, "x.png"), platform.upload(callers["mod"], file, "y.png")
    of_bob, of_mod = platform.queue(callers["mod"])
    platform.decide(callers["mod"], of_bob.id, release=False)
    with pytest.raises(ConflictError, match="already"):
        platform.decide(callers["mod"], of_bob.id, release=True)
    with pytest.raises(ConflictError, match="somebody else"):
        platform.decide(callers["mod"], of_mod.id, release=True)
    with pytest.raises(MissingError):
        platform.decide(callers["bob"], of_mod.id, release=True)


def test_others_uploads_cannot_be_fetched_and_look_like_none(platform, callers):
    upload = platform.upload(callers["ann"], png(scene(1)), "a.png")
    said = []
    for upload_id in (upload.id, "00000000-0000-0000-0000-000000000000"):
        with pytest.raises(MissingError) as missing:
            platform.fetch(callers["bob"], upload_id)
        said.append(str(missing.value))
    assert said[0] == said[1] and platform.uploads(callers["bob"]) == []


def test_tagged_files_are_kept_for_a_while(platform, callers, monkeypatch):
    upload = platform.upload(callers["ann"], png(scene(1)), "a.png")
    later = accounts.now() + platform.limits.keep_seconds + 1
    monkeypatch.setattr(accounts, "now", lambda: later)
    platform.upload(callers["ann"], png(scene(2)), "b.png")
    found = platform.fetch(callers["ann"], upload.id)
    assert (found.file, found.residual, found.picture is not None) == (None, None, True)


def test_ones_pictures_tell_whose_file_is_there_still(platform, callers, monkeypatch):
    begun = accounts.now()
    platform.upload(callers["ann"], png(scene(1)), "a.png")
    monkeypatch.setattr(accounts, "now", lambda: begun + platform.limits.keep_seconds + 5)
    platform.upload(callers["ann"], png(scene(2)), "b.png")
    told = {upload.name: upload.has_file for upload in platform.uploads(callers["ann"])}
    assert told == {"a.png": False, "b.png": True}


def _file_in(engine, upload):
    with orm.Session(engine) as session:
        return session.scalar(sa.select(tables.Upload.file).where(tables.Upload.id == upload.id))


def test_a_file_that_had_its_time_is_not_fetched_and_deleted_though_nobody_uploads(
    platform, callers, tagger, engine, monkeypatch
):
    uploads = [platform.upload(callers["ann"], png(scene(seed)), "a.png") for seed in (1, 2)]
    later = accounts.now() + platform.limits.keep_seconds + 1
    monkeypatch.setattr(accounts, "now", lambda: later)
    found = platform.fetch(callers["ann"], uploads[0].id)
    assert (found.file, found.residual) == (None, None)
    assert [_file_in(engine, upload) for upload in uploads] == [None, None]


def test_what_is_old_is_deleted_when_the_platform_starts(platform, callers, tagger, engine, monkeypatch):
    upload = platform.upload(callers["ann"], png(scene(1)), "a.png")
    service.Service(engine, tagger)
    assert _file_in(engine, upload)
    later = accounts.now() + platform.limits.keep_seconds + 1
    monkeypatch.setattr(accounts, "now", lambda: later)
    service.Service(engine, tagger)
    assert _file_in(engine, upload) is None


def test_what_was_held_is_kept_until_the_decision_and_as_long_from_then_on(
    platform, callers, tagger, tagged, engine, monkeypatch
):
    file, _ = tagged(scene(1))
    held = platform.upload(callers["bob"], file, "x.png")
    begun, keep = accounts.now(), platform.limits.keep_seconds
    for passed, expected in ((2 * keep, file), (3 * keep - 10, file), (3 * keep + 10, None)):
        monkeypatch.setattr(accounts, "now", lambda time=begun + passed: time)
        if passed == 2 * keep:
            platform.decide(callers["mod"], platform.queue(callers["mod"])[0].id, release=True)
        service.Service(engine, tagger)
        found = platform.fetch(callers["bob"], held.id)
        assert (found.file, found.created) == (expected, held.created)


@pytest.mark.parametrize(
    "limits, said",
    [
        (Limits(max_bytes=1000), "larger than 1,000 bytes"),
        (Limits(max_pixels=10_000), "192×192 is over 10,000 pixels"),
        (Limits(min_side=200), "192×192 pixels are too few"),
    ],
)
def test_pictures_beyond_the_limits_are_refused_before_anything_is_done(engine, callers, limits, said):
    platform = service.Service(engine, BlockTagger(), limits)
    for ask in (
        lambda it: platform.upload(callers["ann"], it, "a.png"),
        lambda it: platform.verify(callers["ann"], it),
    ):
        with pytest.raises(RefusedError, match=said):
            ask(png(scene(1)))
    assert platform.uploads(callers["ann"]) == []


def test_an_account_has_its_share_of_uploads_of_verifications_and_of_the_queue(engine, callers, tagged):
    file, _ = tagged(scene(1))
    platform = service.Service(engine, BlockTagger(), Limits(uploads=2, verifications=1, waiting=1))
    platform.verify(callers["bob"], file)
    with pytest.raises(TooOftenError):
        platform.verify(callers["bob"], file)
    platform.upload(callers["bob"], file, "1.png")
    with pytest.raises(TooOftenError, match="wait for a moderator"):
        platform.upload(callers["bob"], file, "2.png")
    with pytest.raises(TooOftenError, match="no more than 2 an hour"):
        platform.upload(callers["bob"], file, "3.png")


def test_one_account_does_not_take_all_workers(engine, callers):
    begun, go_on = threading.Semaphore(0), threading.Event()

    class Slow(BlockTagger):
        def read(self, pixels):
            begun.release()
            go_on.wait(30)
            return super().read(pixels)

    platform = service.Service(engine, Slow(), Limits(verifications=2))  # What is refused is not counted.
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        first = pool.submit(platform.verify, callers["ann"], png(scene(1)))
        begun.acquire(timeout=30)
        for _ in range(3):
            with pytest.raises(TooOftenError, match="worked on"):
                platform.verify(callers["ann"], png(scene(1)))
        other = pool.submit(platform.verify, callers["bob"], png(scene(1)))
        begun.acquire(timeout=30)
        go_on.set()
        assert first.result().outcome is other.result().outcome is Outcome.NO_TAG
    assert platform.verify(callers["ann"], png(scene(1))).outcome is Outcome.NO_TAG


@pytest.mark.parametrize("names, outcomes", [(("ann", "bob"), ["held", "tagged"]), (("ann", "ann"), ["tagged"] * 2)])
def test_of_the_same_picture_uploaded_twice_at_once_the_first_is_registered(engine, callers, names, outcomes):
    both = threading.Barrier(2)

    class Slow(BlockTagger):
        def tag(self, picture, uid, replace):
            both.wait(30)  # Both have been read by now, and neither is registered.
            super().tag(picture, uid, replace)

    platform = service.Service(engine, Slow(), Limits(at_once=2))
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        made = list(pool.map(lambda name: platform.upload(callers[name], png(scene(1)), "a.png"), names))
    assert sorted(each.outcome for each in made) == outcomes
    for case in platform.queue(callers["mod"]):
        first = next(each for each in made if each.outcome == "tagged")
        assert (case.reason, case.matched_id) == ("alike", first.picture_id)


def test_a_tagger_that_fails_leaves_nothing_behind(platform, callers, tagger):
    tagger.broken = UnavailableError("10.0.0.7:8500: no server can be reached")
    with pytest.raises(UnavailableError):
        platform.upload(callers["ann"], png(scene(1)), "a.png")
    tagger.broken = None
    assert platform.uploads(callers["ann"]) == []
    assert platform.upload(callers["ann"], png(scene(1)), "a.png").outcome == service.TAGGED


@pytest.mark.parametrize(
    "given, shown",
    [
        ("a.png", "a.png"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\b.jpg", "b.jpg"),
        ("x\r\nSet-Cookie: a=b\0.png", "xSet-Cookie: a=b.png"),
        ("gnp\u202e.exe", "gnp.exe"),
        ("", "picture"),
        ("/", "picture"),
        ("n" * 500, "n" * 100),
    ],
)
def test_names_of_files_are_shown_without_folders_and_odd_signs(given, shown):
    assert service.plain_name(given) == shown


def test_what_is_done_is_written_down(platform, callers, tagged):
    upload = platform.upload(callers["bob"], tagged(scene(1))[0], "x.png")
    platform.decide(callers["mod"], platform.queue(callers["mod"])[0].id, release=False)
    lines = [(it.account_id, it.action) for it in platform.audit(callers["mod"]) if it.subject == upload.id]
    assert lines == [(callers["mod"].id, "upload rejected"), (callers["bob"].id, "upload held")]
