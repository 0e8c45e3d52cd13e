"""What the platform does, apart from the web: takes pictures in, verifies them, and lets moderators decide."""

import collections
import contextlib
import dataclasses
import io
import os
import re
import threading
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy import exc, orm

from faketagger.components.contract import picture_decoding, picture_encoding
from faketagger.components.contract.picture import ImageError, Picture
from faketagger.serving import decoding, limits
from faketagger.serving.outcomes import Outcome
from faketagger.serving.platform import accounts, fingerprints, registry, tables
from faketagger.serving.platform.accounts import Caller, TooOftenError
from faketagger.serving.platform.fingerprints import Change, Comparison
from faketagger.serving.platform.tables import Case, Entry, Upload
from faketagger.serving.platform.tagger import Found, Tagger, UnfitError

# What becomes of an upload, and why one is held.
TAGGED, ACCEPTED, HELD, RELEASED, REJECTED = "tagged", "accepted", "held", "released", "rejected"
OUTCOMES = (TAGGED, ACCEPTED, HELD, RELEASED, REJECTED)
ANOTHERS, COPIED, UNKNOWN, ALIKE = "anothers", "copied", "unknown", "alike"
# How a registered picture was found.
BY_TAG, BY_CANDIDATE, BY_LOOK = "tag", "candidate", "look"
_WAITING = "waiting"

# Kinds whose small files can hold pages without end, and decoders that photographs do not need.
_NOT_TAKEN = ("GIF", "TIFF", "BMP")
_LONGEST_NAME = 100
_LOOKED_AT = 4  # Pictures that look alike are compared closely, so many.
_ASKED_FOR = 8  # Pictures that may look alike, whose tags are asked for.
# At most so often an untagged picture is held for a tag that is asked for, where it looks like somebody's at all.
_AGREES = 1e-3
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TRIES = 3  # That another upload draws the same UID meanwhile happens once in 2^bits.


class RefusedError(Exception):
    """The picture is not taken; the message says why."""


class MissingError(Exception):
    """There is no such thing, or the asker may not know of it: both look the same."""


class ConflictError(Exception):
    """It has been decided already, or must be decided by somebody else."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """What one account may do, and one file may be.

    Attributes:
      max_bytes: of a file.
      max_pixels: of a picture, by its header.
      min_side: of a picture, in pixels: smaller ones lose their tags.
      uploads, verifications, queries: in an hour.
      waiting: files in the moderators' queue.
      at_once: pictures that are worked on at a time; fewer than there are workers.
      keep_seconds: how long a tagged file can be fetched.
    """

    max_bytes: int = 20 * 2**20
    max_pixels: int = 40_000_000
    min_side: int = 64
    uploads: int = 60
    verifications: int = 120
    queries: int = 600
    waiting: int = 20
    at_once: int = 1
    keep_seconds: int = 24 * 3600


@dataclasses.dataclass(frozen=True)
class Trace:
    """Which registered picture another comes from.

    Attributes:
      found: what was read from it.
      by: BY_TAG; BY_CANDIDATE, the faint or uncertain tag of one that looks alike; BY_LOOK; None for nothing.
      picture: the registered one; None where there is none, even under a tag.
      comparison: with it.
    """

    found: Found
    by: str | None = None
    picture: tables.Picture | None = None
    comparison: Comparison | None = None

    def facts(self) -> dict[str, Any]:
        """For the queue."""
        change = self.comparison and dataclasses.asdict(self.comparison)
        return {"by": self.by, "p_value": self.found.p_value, "how": self.found.how, "comparison": change}


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What somebody is told of a picture.

    Attributes:
      outcome: TAGGED, PERHAPS or NO_TAG; never that a picture is authentic.
      by: as Trace's.
      owner: the name; None where the asker may not know it.
      mine: whether the owner is the asker.
      picture_id: of the registered picture, where the asker may know it.
      registered: whether the registry has a picture under the tag.
      change: from the registered picture; None where there is nothing to compare.
      how: as Found's.
      p_value: as Found's.
      damage: what was wrong with the file, so that not all of it was looked at; a phrase each.
      preview, original: of what was asked about, and of the registered picture where the asker may see it.
    """

    outcome: Outcome
    by: str | None
    owner: str | None
    mine: bool
    picture_id: str | None
    registered: bool
    change: Change | None
    how: str
    p_value: float
    damage: tuple[str, ...]
    preview: bytes
    original: bytes | None


class Service:
    """The platform's logic; safe to call from several threads. Its methods may raise tagger.UnavailableError."""

    def __init__(self, engine: sa.Engine, tagger: Tagger, allowed: Limits | None = None):
        """Works on a database of tables.open_database."""
        self.accounts, self.limits = accounts.Accounts(engine), allowed or Limits()
        self._engine, self._tagger = engine, tagger
        self._at_work: collections.Counter[int] = collections.Counter()
        self._lock, self._registering = threading.Lock(), threading.Lock()
        self._delete_old_files()

    # Uploads

    def upload(self, caller: Caller, data: bytes, name: str) -> Upload:
        """Takes a picture in: it is read first; then tagged and registered, accepted, or held.

        Raises:
          RefusedError: it is no picture that can be tagged.
          TooOftenError: the account has had its share.
        """
        self._delete_old_files()
        with self._working(caller):
            self.accounts.count(caller, "upload", self.limits.uploads)
            picture = self._decode(data)
            trace = self._trace(picture.rgb())
            reason = _reason_to_hold(caller, trace)
            if reason:
                return self._hold(caller, data, name, picture, trace, reason)
            if trace.by in (BY_TAG, BY_CANDIDATE):
                return self._accept(caller, name, picture, trace)
            return self._tag_new(caller, data, name, picture, trace.found)

    def fetch(self, caller: Caller, upload_id: str) -> Upload:
        """An upload of one's own, with its file; MissingError for others'."""
        _check_id(upload_id, "upload")
        with self._reading() as session:
            upload = session.get(Upload, upload_id, options=[orm.undefer(Upload.file), orm.joinedload(Upload.picture)])
            if upload is None or upload.account_id != caller.id:
                raise MissingError("there is no such upload")
            is_old = self._is_old(session, upload)
            if is_old:
                upload.residual = None
            if is_old or upload.outcome in (HELD, REJECTED):
                upload.file = None
        if is_old:
            self._delete_old_files()
        return upload

    def uploads(self, caller: Caller, most: int = 50) -> list[Upload]:
        """One's own, the newest first."""
        self._delete_old_files()
        with self._reading() as session:
            wanted = sa.select(Upload).where(Upload.account_id == caller.id).order_by(Upload.created.desc())
            told = orm.with_expression(Upload.has_file, Upload.file.is_not(None))
            return list(session.scalars(wanted.limit(most).options(told)))

    def _hold(self, caller: Caller, data: bytes, name: str, picture: Picture, trace: Trace, reason: str) -> Upload:
        with self._writing() as session:
            waits = sa.select(sa.func.count()).select_from(Case).join(Upload, Case.upload_id == Upload.id)
            mine = waits.where(Upload.account_id == caller.id, Case.state == _WAITING)
            if (session.scalar(mine) or 0) >= self.limits.waiting:
                raise TooOftenError(f"{self.limits.waiting} of your pictures wait for a moderator", 3600)
            upload = self._add_upload(session, caller, name, picture, HELD, None, data)
            matched = trace.picture and trace.picture.id
            session.add(
                Case(upload_id=upload.id, matched_id=matched, reason=reason, facts=trace.facts(), state=_WAITING)
            )
            session.add(_entry(caller, "upload held", upload.id))
            return upload

    def _accept(self, caller: Caller, name: str, picture: Picture, trace: Trace) -> Upload:
        with self._writing() as session:
            upload = self._add_upload(session, caller, name, picture, ACCEPTED, trace.picture, None)
            session.add(_entry(caller, "upload accepted", upload.id))
            return upload

    def _tag_new(self, caller: Caller, data: bytes, name: str, picture: Picture, found: Found) -> Upload:
        """Tags and registers an upload; holds it where somebody else's like it has come meanwhile."""
        untagged = picture.rgb()
        for _ in range(_TRIES):
            made = self._tagged(picture, found, replace=False)
            # Taggings take seconds, in which the same picture may come from elsewhere: one of them is the first.
            with self._registering:
                with self._reading() as session:
                    twin = _alike(untagged, found, _near(session, untagged, found))
                if twin and _reason_to_hold(caller, twin):
                    return self._hold(caller, data, name, picture, twin, ALIKE)
                try:
                    with self._writing() as session:
                        registered = made.register(session, caller)
                        upload = self._add_upload(session, caller, name, made.written, TAGGED, registered, made.data)
                        upload.residual = made.residual
                        session.add(_entry(caller, "upload tagged", upload.id))
                        return upload
                except exc.IntegrityError:
                    continue
        raise registry.FullError("no free UID is found")

    def _tagged(self, picture: Picture, found: Found, replace: bool) -> "_Tagged":
        """A picture, which stays as it is, with a UID that nobody has."""
        with self._reading() as session:
            uid = registry.free_uid(session, found.key_fingerprint, self._tagger.uid_bits())
        before, tagged = picture.rgb(), dataclasses.replace(picture, pixels=picture.pixels.copy())
        data, written = self._lay(tagged, uid, replace)
        boxes = fingerprints.relative(found.boxes, before)
        residual = fingerprints.residual(before, written.rgb())
        return _Tagged(uid, found.key_fingerprint, data, written, boxes, residual)

    def _lay(self, picture: Picture, uid: int, replace: bool) -> tuple[bytes, Picture]:
        """Tags in place and writes: the file, and what is read from it, in which the tag has been found again."""
        try:
            made = self._tagger.tag(picture, uid, replace)
            file = io.BytesIO()
            picture_encoding.encode(picture, file)
            written = picture_decoding.decode(file)
            self._tagger.check(written.visible().rgb(), uid, made)
        except (UnfitError, ImageError) as error:
            raise RefusedError(str(error)) from error
        return file.getvalue(), written

    def _add_upload(
        self,
        session: orm.Session,
        caller: Caller,
        name: str,
        picture: Picture,
        outcome: str,
        registered: tables.Picture | None,
        data: bytes | None,
    ) -> Upload:
        upload = Upload(
            id=str(uuid.uuid4()),
            account_id=caller.id,
            created=accounts.now(),
            name=plain_name(name),
            outcome=outcome,
            picture_id=registered and registered.id,
            file=data,
            format=picture.format,
            preview=fingerprints.preview(picture.rgb()),
        )
        session.add(upload)
        session.flush()
        return upload

    def _is_old(self, session: orm.Session, upload: Upload) -> bool:
        """Whether its file was there for as long as it can be fetched; what was held, from the decision on."""
        decided = session.scalar(sa.select(Case.decided).where(Case.upload_id == upload.id))
        return upload.outcome != HELD and (decided or upload.created) < accounts.now() - self.limits.keep_seconds

    def _delete_old_files(self) -> None:
        old = accounts.now() - self.limits.keep_seconds
        lately = sa.select(Case.upload_id).where(Case.decided >= old)
        with self._writing() as session:
            session.execute(
                sa.update(Upload)
                .where(Upload.created < old, Upload.outcome != HELD, Upload.file.is_not(None))
                .where(Upload.id.not_in(lately))
                .values(file=None, residual=None)
            )

    # Verifying

    def verify(self, caller: Caller, data: bytes) -> Verdict:
        """What is known of a picture, as far as the asker may know it; errors are those of `upload`."""
        with self._working(caller):
            self.accounts.count(caller, "verify", self.limits.verifications)
            picture = self._decode(data, lenient=True)
            pixels = picture.rgb()
            trace = self._trace(pixels)
            with self._writing() as session:
                session.add(_entry(caller, "verified", trace.picture.id if trace.picture else "-"))
        return _verdict(caller, trace, fingerprints.preview(pixels), tuple(picture.damage))

    def matches(self, caller: Caller, data: bytes) -> list[tuple[tables.Picture, int]]:
        """The registered pictures that a picture may come from, of those the asker may know; how sure it is, 0…100."""
        with self._working(caller):
            self.accounts.count(caller, "verify", self.limits.verifications)
            pixels = self._decode(data, lenient=True).rgb()
            trace = self._trace(pixels)
            found = {}
            if trace.picture is not None:
                found[trace.picture.id] = trace.picture, 100 if trace.by == BY_TAG else 50
            with self._reading() as session:
                for picture, apart in registry.by_look(session, *_hashes(pixels, trace.found), most=100):
                    found.setdefault(picture.id, (picture, round(100 * (1 - apart / 64))))
        return [each for each in found.values() if registry.may_know(caller, each[0])]

    def matches_of_uid(self, caller: Caller, uid: int) -> list[tables.Picture]:
        """The pictures under a UID, of those that the asker may know: UIDs cannot be tried through."""
        self.accounts.count(caller, "query", self.limits.queries)
        with self._reading() as session:
            found = session.scalars(sa.select(tables.Picture).where(tables.Picture.uid == str(uid)))
            return [picture for picture in found if registry.may_know(caller, picture)]

    def matches_of_hash(self, caller: Caller, hash: str) -> list[tuple[tables.Picture, int]]:
        """The pictures near a hash of 64 bits, hexadecimal, of those that the asker may know, with the bits apart."""
        self.accounts.count(caller, "query", self.limits.queries)
        with self._reading() as session:
            found = registry.by_look(session, hash, None, most=100)
            return [each for each in found if registry.may_know(caller, each[0])]

    def picture(self, caller: Caller, picture_id: str) -> tables.Picture:
        """A registered picture; MissingError where there is none that the asker may know."""
        self.accounts.count(caller, "query", self.limits.queries)
        _check_id(picture_id, "picture")
        with self._reading() as session:
            found = session.get(tables.Picture, picture_id)
            if found is None or not registry.may_know(caller, found):
                raise MissingError("there is no such picture")
            return found

    def uid_bits(self) -> int:
        """Of the tagger."""
        return self._tagger.uid_bits()

    def _trace(self, pixels: np.ndarray) -> Trace:
        found = self._tagger.read(pixels)
        with self._reading() as session:
            if found.outcome is not Outcome.NO_TAG:
                picture = registry.by_uid(session, found.key_fingerprint, found.candidate)
                comparison = _compared(pixels, picture) if picture else None
                if found.outcome is Outcome.TAGGED:
                    return Trace(found, BY_TAG, picture, comparison)
                if comparison and comparison.change is not Change.OTHER:
                    return Trace(found, BY_CANDIDATE, picture, comparison)
            near = _near(session, pixels, found)
            return self._agreeing(pixels, found, near) or _alike(pixels, found, near) or Trace(found)

    def _agreeing(self, pixels: np.ndarray, found: Found, near: Sequence[tuple[tables.Picture, int]]) -> Trace | None:
        """To the picture among those that may look alike whose tag is there, too faint to be read unasked."""
        pictures = [picture for picture, _ in near if picture.key_fingerprint == found.key_fingerprint]
        if not pictures:
            return None
        p_values = self._tagger.agreement(pixels, [int(picture.uid) for picture in pictures])
        p_value, picture = min(zip(p_values, pictures), key=lambda each: each[0])
        if p_value > _AGREES:
            return None
        found = dataclasses.replace(found, candidate=int(picture.uid), p_value=p_value)
        return Trace(found, BY_CANDIDATE, picture, _compared(pixels, picture))

    # Moderating

    def queue(self, caller: Caller, most: int = 100) -> list[Case]:
        """What waits for moderators, the oldest first; MissingError for others."""
        with self._moderating(caller) as session:
            wanted = sa.select(Case).where(Case.state == _WAITING).order_by(Case.id)
            return list(session.scalars(wanted.limit(most)))

    def case(self, caller: Caller, case_id: int) -> Case:
        """One of them, decided or not."""
        with self._moderating(caller) as session:
            found = session.get(Case, case_id)
            if found is None:
                raise MissingError("there is no such case")
            return found

    def decide(self, caller: Caller, case_id: int, release: bool) -> Case:
        """Releases or rejects a held upload.

        What was released is given back to its uploader: as it is where it carries the tag of its owner, otherwise
        tagged and registered as the uploader's. What was rejected is deleted, its preview too.

        Raises:
          ConflictError: it is decided already, or is the moderator's own.
          RefusedError: it cannot be tagged.
        """
        case = self.case(caller, case_id)
        if case.upload.account_id == caller.id:
            raise ConflictError("somebody else has to decide on your own upload")
        decision = _Decision(case.id, case.upload_id, caller)
        if release and case.reason != ANOTHERS:
            self._tag_released(case.upload, decision)
        else:
            with self._writing() as session:
                upload = decision.close(session, RELEASED if release else REJECTED)
                if not release:
                    upload.file, upload.preview = None, b""
        return self.case(caller, case_id)

    def audit(self, caller: Caller, most: int = 200) -> list[Entry]:
        """The latest lines of the audit log, for moderators."""
        with self._moderating(caller) as session:
            return list(session.scalars(sa.select(Entry).order_by(Entry.id.desc()).limit(most)))

    def _tag_released(self, upload: Upload, decision: "_Decision") -> None:
        with self._reading() as session:
            data = session.get_one(Upload, upload.id, options=[orm.undefer(Upload.file)]).file
        if data is None:
            raise ConflictError("it has been decided already")
        account = upload.account
        owner = Caller(account.id, account.name, account.role, "")
        picture = self._decode(data)
        found = self._tagger.read(picture.rgb())
        for _ in range(_TRIES):
            made = self._tagged(picture, found, replace=True)
            try:
                with self._registering, self._writing() as session:
                    registered, released = made.register(session, owner), decision.close(session, RELEASED)
                    released.picture_id, released.file, released.format = registered.id, made.data, made.written.format
                    released.residual = made.residual
                    return
            except exc.IntegrityError:
                continue
        raise registry.FullError("no free UID is found")

    # What they share

    def _decode(self, data: bytes, lenient: bool = False) -> Picture:
        if len(data) > self.limits.max_bytes:
            raise RefusedError(f"the file is larger than {self.limits.max_bytes:,} bytes")
        kind = picture_decoding.kind_of(data[: picture_decoding.HEAD_BYTES])
        if data and kind in (None, *_NOT_TAKEN):
            said = f"{kind} is not taken here" if kind else "the file is not a picture"
            raise RefusedError(f"{said}: send JPEG, PNG, WebP, AVIF or HEIC")
        if said := limits.too_many_scans(data, limits.pixels_of(data) or self.limits.max_pixels):
            raise RefusedError(f"the picture is {said}")
        try:
            given = data, "the picture", lenient, self.limits.max_pixels
            quick = limits.is_quick(data)
            picture = picture_decoding.decode(*given) if quick else decoding.apart(picture_decoding.decode, *given)
        except decoding.EndedError as error:
            raise RefusedError(f"the picture is refused: {error}") from error
        except ImageError as error:
            raise RefusedError(str(error)) from error
        height, width = picture.pixels.shape[:2]
        if min(height, width) < self.limits.min_side:
            raise RefusedError(f"{width}×{height} pixels are too few: it takes {self.limits.min_side} on each side")
        return picture

    @contextlib.contextmanager
    def _working(self, caller: Caller) -> Iterator[None]:
        """Keeps one account from taking all workers."""
        with self._lock:
            if self._at_work[caller.id] >= self.limits.at_once:
                raise TooOftenError("other pictures of yours are being worked on", 5)
            self._at_work[caller.id] += 1
        try:
            yield
        finally:
            with self._lock:
                self._at_work[caller.id] -= 1

    @contextlib.contextmanager
    def _reading(self) -> Iterator[orm.Session]:
        with orm.Session(self._engine, expire_on_commit=False) as session:
            yield session

    @contextlib.contextmanager
    def _writing(self) -> Iterator[orm.Session]:
        with orm.Session(self._engine, expire_on_commit=False) as session, session.begin():
            yield session

    @contextlib.contextmanager
    def _moderating(self, caller: Caller) -> Iterator[orm.Session]:
        if not caller.is_moderator:
            raise MissingError("there is no such page")
        with self._reading() as session:
            yield session


@dataclasses.dataclass(frozen=True)
class _Tagged:
    """A tagged picture, its file and what is read from that, not yet registered."""

    uid: int
    key_fingerprint: str
    data: bytes
    written: Picture
    boxes: list[list[float]]
    residual: bytes

    def register(self, session: orm.Session, owner: Caller) -> tables.Picture:
        """As registry.add."""
        return registry.add(session, owner, self.uid, self.key_fingerprint, self.written.rgb(), self.boxes)


@dataclasses.dataclass(frozen=True)
class _Decision:
    """On a case, by a moderator."""

    case_id: int
    upload_id: str
    moderator: Caller

    def close(self, session: orm.Session, outcome: str) -> Upload:
        """Writes it down; ConflictError where another moderator was quicker."""
        waiting = sa.update(Case).where(Case.id == self.case_id, Case.state == _WAITING)
        done = waiting.values(state=outcome, moderator_id=self.moderator.id, decided=accounts.now())
        if not tables.changed(session, done):
            raise ConflictError("it has been decided already")
        upload = session.get_one(Upload, self.upload_id)
        upload.outcome = outcome
        session.add(_entry(self.moderator, f"upload {outcome}", self.upload_id))
        return upload


def plain_name(name: str) -> str:
    """What a file is called, to be shown: without folders and signs that do not print."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    shown = "".join(sign for sign in last if sign.isprintable()).strip()[:_LONGEST_NAME]
    return shown or "picture"


def file_name(upload: Upload) -> str:
    """What the tagged file of an upload is called."""
    own = os.path.splitext(upload.name)[1]  # What is not written, as HEIC, is given back as it came.
    ending = picture_encoding.ENDINGS.get(upload.format, (own,))[0]
    return f"{os.path.splitext(upload.name)[0]}.tagged{ending}"


def _check_id(text: str, what: str) -> None:
    """MissingError for what is no ID: PostgreSQL fails over signs that no text of its may have."""
    if not _ID.fullmatch(text):
        raise MissingError(f"there is no such {what}")


def _reason_to_hold(caller: Caller, trace: Trace) -> str | None:
    if trace.by is None:
        return None
    if trace.picture is None or trace.comparison is None:
        return UNKNOWN
    if trace.by == BY_LOOK:
        return None if trace.picture.account_id == caller.id else ALIKE
    if trace.comparison.change is Change.OTHER:
        return COPIED
    return None if trace.picture.account_id == caller.id else ANOTHERS


def _near(session: orm.Session, pixels: np.ndarray, found: Found) -> list[tuple[tables.Picture, int]]:
    """The registered pictures that may look alike, with the bits that differ, the nearest first."""
    return registry.by_look(session, *_hashes(pixels, found), most=_ASKED_FOR, within=registry.FAR_BITS)


def _alike(pixels: np.ndarray, found: Found, near: Sequence[tuple[tables.Picture, int]]) -> Trace | None:
    """To the registered picture that looks alike, of those that `near` has with the bits that differ."""
    for picture in [picture for picture, apart in near if apart <= registry.NEAR_BITS][:_LOOKED_AT]:
        comparison = _compared(pixels, picture)
        if comparison.change in (Change.NONE, Change.FACE):
            return Trace(found, BY_LOOK, picture, comparison)
    return None


def _hashes(pixels: np.ndarray, found: Found) -> tuple[str, str | None]:
    boxes = fingerprints.relative(found.boxes, pixels)
    return fingerprints.hash_whole(pixels), fingerprints.hash_outside(pixels, boxes)


def _compared(pixels: np.ndarray, picture: tables.Picture) -> Comparison:
    return fingerprints.compare(pixels, fingerprints.of_preview(picture.preview), picture.boxes)


def _verdict(caller: Caller, trace: Trace, preview: bytes, damage: tuple[str, ...]) -> Verdict:
    picture, found = trace.picture, trace.found
    known = picture is not None and registry.may_know(caller, picture)
    mine = picture is not None and picture.account_id == caller.id
    seen = known and (mine or caller.is_moderator)
    certain = Outcome.TAGGED if trace.by == BY_TAG else Outcome.PERHAPS if trace.by else Outcome.NO_TAG
    return Verdict(
        outcome=certain,
        by=trace.by,
        owner=picture.account.name if picture and known else None,
        mine=mine,
        picture_id=picture.id if picture and known else None,
        registered=picture is not None,
        change=trace.comparison.change if trace.comparison else None,
        how=found.how if trace.by == BY_TAG else "",
        p_value=found.p_value,
        damage=damage,
        preview=preview,
        original=picture.preview if picture and seen else None,
    )


def _entry(caller: Caller, action: str, subject: str) -> Entry:
    return Entry(at=accounts.now(), account_id=caller.id, action=action, subject=subject)
