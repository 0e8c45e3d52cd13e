"""The registry of tagged pictures: UIDs are drawn at random, pictures found by their tag or by how they look."""

import secrets
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy import orm

from faketagger.serving.platform import accounts, fingerprints
from faketagger.serving.platform.accounts import Caller
from faketagger.serving.platform.tables import Band, Picture

# Two hashes of 64 bits are near where at most this many differ: then two of their eight bytes or more are the same.
NEAR_BITS = 6
# What was made anew as a whole differs in up to so many, and mostly leaves a byte as it was.
FAR_BITS = 16
_MOST_BYTES_ALIKE = 1000  # Pictures that share a byte with another, those that share most.
_WHOLE, _OUTSIDE = 0, 1
_DRAWS = 1000


class FullError(Exception):
    """Hardly any UID is left that no picture has."""


def free_uid(session: orm.Session, key_fingerprint: str, bits: int) -> int:
    """A UID of `bits` bits that no picture of the key has, drawn from all of them; FullError where none is found."""
    for _ in range(_DRAWS):
        uid = secrets.randbelow(2**bits)
        if by_uid(session, key_fingerprint, uid) is None:
            return uid
    raise FullError("the tagger's UIDs are used up: a tagger of more bits or another key is needed")


def add(
    session: orm.Session,
    owner: Caller,
    uid: int,
    key_fingerprint: str,
    pixels: np.ndarray,
    boxes: Sequence[fingerprints.Box],
) -> Picture:
    """Registers a tagged picture; sqlalchemy's IntegrityError where another has got its UID meanwhile.

    Args:
      session: within a transaction.
      owner: whose it is.
      uid: its tag.
      key_fingerprint: of the key that it was tagged with.
      pixels: uint8 [H, W, 3], tagged.
      boxes: of its faces, in shares of its sides.
    """
    height, width = pixels.shape[:2]
    picture = Picture(
        id=str(uuid.uuid4()),
        uid=str(uid),
        key_fingerprint=key_fingerprint,
        account_id=owner.id,
        created=accounts.now(),
        hash_whole=fingerprints.hash_whole(pixels),
        hash_outside=fingerprints.hash_outside(pixels, boxes),
        boxes=[list(box) for box in boxes],
        width=width,
        height=height,
        preview=fingerprints.preview(pixels),
    )
    session.add(picture)
    session.flush()
    values = {*_bands(_WHOLE, picture.hash_whole), *_bands(_OUTSIDE, picture.hash_outside)}
    session.add_all(Band(picture_id=picture.id, value=value) for value in values)
    return picture


def by_uid(session: orm.Session, key_fingerprint: str, uid: int) -> Picture | None:
    """The picture that carries a tag of a key."""
    return session.scalars(
        sa.select(Picture).where(Picture.key_fingerprint == key_fingerprint, Picture.uid == str(uid))
    ).one_or_none()


def by_look(
    session: orm.Session, hash_whole: str | None, hash_outside: str | None, most: int, within: int = NEAR_BITS
) -> list[tuple[Picture, int]]:
    """The pictures that look alike, as a whole or outside their faces, with the bits that differ, the nearest first.

    Args:
      session: to read in.
      hash_whole, hash_outside: of the picture whose like is wanted.
      most: how many pictures.
      within: how many bits may differ; over NEAR_BITS some of those pictures are missed.
    """
    found: dict[str, tuple[int, float]] = {}  # By ID, bits that differ and when it was registered.
    least_bytes = max(1, 8 - within)
    for kind, wanted, column in (
        (_WHOLE, hash_whole, Picture.hash_whole),
        (_OUTSIDE, hash_outside, Picture.hash_outside),
    ):
        if wanted is None:
            continue
        shared = sa.select(Band.picture_id).where(Band.value.in_(list(_bands(kind, wanted)))).group_by(Band.picture_id)
        nearest = shared.having(sa.func.count() >= least_bytes).order_by(sa.func.count().desc())
        ids = list(session.scalars(nearest.limit(_MOST_BYTES_ALIKE)))
        # Without their previews, which are most of a row.
        for name, known, created in session.execute(
            sa.select(Picture.id, column, Picture.created).where(Picture.id.in_(ids))
        ):
            apart = fingerprints.bits_apart(known, wanted)
            if apart <= within:
                found[name] = min(found.get(name, (apart, created)), (apart, created))
    wanted_ids = sorted(found, key=found.__getitem__)[:most]
    pictures = {each.id: each for each in session.scalars(sa.select(Picture).where(Picture.id.in_(wanted_ids)))}
    return [(pictures[name], found[name][0]) for name in wanted_ids if name in pictures]


def may_know(caller: Caller, picture: Picture) -> bool:
    """Whether somebody may be told which picture it is, and whose."""
    return caller.may_know_all or picture.account_id == caller.id or picture.account.public


def record(picture: Picture) -> dict[str, Any]:
    """What who may know of a picture is told."""
    return {
        "id": picture.id,
        "owner": picture.account.name,
        "registered": picture.created,
        "width": picture.width,
        "height": picture.height,
        "fingerprint": picture.hash_whole,
        "key_fingerprint": picture.key_fingerprint,
    }


def _bands(kind: int, hash: str | None) -> Iterator[int]:
    """A number for each of a hash's bytes, which says kind and place too."""
    return (kind << 16 | place << 8 | byte for place, byte in enumerate(bytes.fromhex(hash or "")))
