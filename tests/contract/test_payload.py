"""UIDs, the channel code and the key: minimum distances, round trips, refusals."""

import itertools
import os
import stat

import numpy as np
import pytest

from faketagger.components.contract import payload

KEY = b"sixteen bytes or more"


def _least_weight(code_matrix):
    """The code's minimum distance, by trying every message."""
    messages = np.array(list(itertools.product([0, 1], repeat=len(code_matrix)))[1:], np.uint8)
    return payload.encode_messages(messages, code_matrix).sum(1).min()


@pytest.mark.parametrize(
    "bits, length, distance", [(1, 15, 15), (5, 15, 7), (7, 15, 5), (11, 15, 3), (6, 31, 15), (11, 31, 11), (7, 63, 31)]
)
def test_a_code_has_the_minimum_distance_of_the_tables_and_its_full_length(bits, length, distance):
    code_matrix = payload.code_matrix(bits, length)
    assert code_matrix.shape == (bits, length)
    assert _least_weight(code_matrix) == distance


def test_the_63_30_code_corrects_six_errors():
    code_matrix = payload.code_matrix(30, 63)
    assert code_matrix.shape == (30, 63)
    # 2^30 messages are too many to try: all of up to four ones, and random ones.
    unit = np.eye(30, dtype=np.uint8)
    chosen = [unit[list(ones)].sum(0) for count in (1, 2, 3, 4) for ones in itertools.combinations(range(30), count)]
    chosen = np.concatenate([chosen, np.random.default_rng(1).integers(0, 2, (50_000, 30))])
    weights = payload.encode_messages(chosen[chosen.any(1)], code_matrix).sum(1)
    assert weights.min() == 13  # 2·6 + 1, and some row of so few ones attains it.


@pytest.mark.parametrize("bits, length, shortened", [(4, 15, 14), (10, 31, 30), (3, 31, 28), (30, 127, 121)])
def test_a_shortened_code_keeps_the_distance_of_the_code_it_came_from(bits, length, shortened):
    code_matrix = payload.code_matrix(bits, length)
    assert code_matrix.shape == (bits, shortened)
    if bits <= 10:
        full = payload.code_matrix(bits + length - shortened, length)
        assert _least_weight(code_matrix) >= _least_weight(full)


@pytest.mark.parametrize("bits, length", [(1, 15), (4, 15), (11, 15), (26, 31), (30, 63), (30, 127), (30, 0)])
def test_codes_are_systematic(bits, length):
    code_matrix = payload.code_matrix(bits, length)
    assert code_matrix.dtype == np.uint8
    assert set(np.unique(code_matrix)) <= {0, 1}
    np.testing.assert_array_equal(code_matrix[:, :bits], np.eye(bits))


@pytest.mark.parametrize(
    "bits, length, said",
    [
        (0, 63, "at least one bit"),
        (-3, 0, "at least one bit"),
        (5, 16, "0 or one of"),
        (12, 15, "at most 11"),
        (58, 63, "at most 57"),
    ],
)
def test_codes_that_do_not_exist_are_refused(bits, length, said):
    with pytest.raises(ValueError, match=said):
        payload.code_matrix(bits, length)


def test_a_returned_matrix_can_be_changed_without_harm_to_the_next():
    payload.code_matrix(5, 15)[:] = 0
    assert payload.code_matrix(5, 15).any()


@pytest.mark.parametrize("bits, length", [(5, 15), (3, 31), (30, 63)])
def test_a_code_matrix_survives_its_hexadecimal_form(bits, length):
    code_matrix = payload.code_matrix(bits, length)
    rows = payload.code_matrix_to_hex(code_matrix)
    assert all(isinstance(row, str) for row in rows)
    np.testing.assert_array_equal(payload.code_matrix_from_hex(rows, code_matrix.shape[1]), code_matrix)


@pytest.mark.parametrize("rows", [["ff"], ["ffff", "ff"], ["ffffff"], ["no hexadecimal"]])
def test_hexadecimal_rows_of_another_length_are_refused(rows):
    with pytest.raises(ValueError):
        payload.code_matrix_from_hex(rows, 15)


def test_the_key_alone_decides_the_mask_and_shorter_masks_begin_longer_ones():
    mask = payload.key_mask(KEY, 63)
    assert mask.shape == (63,) and mask.dtype == np.uint8 and set(mask) == {0, 1}
    np.testing.assert_array_equal(mask, payload.key_mask(bytes(KEY), 63))
    np.testing.assert_array_equal(mask[:15], payload.key_mask(KEY, 15))


def test_one_changed_bit_of_the_key_changes_about_half_of_the_mask():
    changed = bytes([KEY[0] ^ 1]) + KEY[1:]
    assert 0.45 < np.mean(payload.key_mask(KEY, 4096) != payload.key_mask(changed, 4096)) < 0.55


def test_masks_of_two_versions_are_independent():
    keys = [b"a key with a number %d" % number for number in range(200)]
    masks = [np.concatenate([payload.key_mask(key, 255, version) for key in keys]) for version in payload.VERSIONS]
    assert abs(np.mean(masks[0] == masks[1]) - 0.5) < 0.011  # Five standard deviations.


@pytest.mark.parametrize(
    "version, mask, codeword",
    [
        (1, "b58bb34357479d5092aa25d490bb15ff", "b58b73a60152344af854cb3beee0d680"),
        (2, "a783bdff9d55cca8e42ac26af4f56930", "b7fa38ad8126183b5c8afa6776edf680"),
    ],
)
def test_tags_of_both_versions_stay_readable_for_ever(version, mask, codeword):
    assert np.packbits(payload.key_mask(KEY, 128, version)).tobytes().hex() == mask
    coder = payload.Payload.of_key(KEY, payload.code_matrix(30, 127), version)
    assert np.packbits(np.uint8(coder.codeword(12345))).tobytes().hex() == codeword
    assert coder.version == version


def test_a_fingerprint_stays_the_same_and_tells_keys_apart():
    assert payload.fingerprint(KEY) == "c1150ae1"
    assert payload.fingerprint(KEY + b"!") == "15115262"


def test_masks_of_many_keys_have_no_bias_in_any_bit():
    masks = np.stack([payload.key_mask(b"a key with a number %d" % number, 31) for number in range(4000)])
    assert np.abs(masks.mean(0) - 0.5).max() < 0.04  # Five standard deviations.


@pytest.mark.parametrize("key", [b"", b"short", b"x" * 15])
def test_short_keys_are_refused(key):
    with pytest.raises(ValueError, match="16 bytes"):
        payload.key_mask(key, 63)


def test_a_made_key_is_random_read_back_and_private(tmp_path):
    paths = [str(tmp_path / name) for name in ("one", "two")]
    for path in paths:
        payload.make_key(path)
    keys = [payload.read_key(path) for path in paths]
    assert keys[0] != keys[1]
    assert all(len(bytes.fromhex(key.decode().removeprefix("faketagger-key-2-"))) == 32 for key in keys)
    assert stat.S_IMODE(os.stat(paths[0]).st_mode) == 0o600


def test_made_keys_have_tagged_nothing_before_version_2_and_others_may_have(tmp_path):
    payload.make_key(str(tmp_path / "key"))
    assert payload.versions_of(payload.read_key(str(tmp_path / "key"))) == (2,)
    assert payload.versions_of(b"0123456789abcdef" * 4) == (2, 1)  # As keygen made them.


def test_making_a_key_does_not_replace_one(tmp_path):
    path = tmp_path / "key"
    path.write_bytes(KEY)
    with pytest.raises(FileExistsError):
        payload.make_key(str(path))
    assert path.read_bytes() == KEY


def test_white_space_around_a_key_does_not_count(tmp_path):
    path = tmp_path / "key"
    path.write_bytes(b"\n " + KEY + b" \r\n")
    assert payload.read_key(str(path)) == KEY


def test_a_file_too_long_for_a_key_is_refused_and_not_cut(tmp_path):
    path = tmp_path / "key"
    path.write_bytes(b"k" * 4096)
    assert len(payload.read_key(str(path))) == 4096
    path.write_bytes(b"k" * 4097)
    with pytest.raises(ValueError, match=f"{path}: over 4,096 bytes: no key"):
        payload.read_key(str(path))


@pytest.mark.parametrize("content", [None, b"", b"   \n" * 10, b"too-few-bytes"])
def test_a_missing_or_short_key_file_is_named_with_the_way_out_and_without_its_content(tmp_path, content):
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match="faketagger keygen") as caught:
        payload.read_key(str(path))
    assert str(path) in str(caught.value) and "too-few-bytes" not in str(caught.value)


@pytest.mark.parametrize("bits, length, version", [(5, 15, 1), (5, 15, 2), (30, 63, 1), (30, 63, 2), (100, 0, 2)])
def test_uids_of_the_whole_range_make_the_round_trip(bits, length, version):
    coder = payload.Payload.of_key(KEY, payload.code_matrix(bits, length), version)
    for uid in (0, 1, 2, 2 ** (bits - 1), 2**bits - 2, 2**bits - 1):
        assert coder.uid(coder.message(uid)) == uid
        unmasked = coder.codeword(uid).astype(int) ^ coder.mask
        assert coder.uid(unmasked[:bits]) == uid


def test_a_message_is_the_uid_in_binary_most_significant_bit_first():
    coder = payload.Payload(payload.code_matrix(5, 15), np.zeros(15, np.uint8))
    assert coder.message(0b10011).tolist() == [1, 0, 0, 1, 1]


@pytest.mark.parametrize("uid", [-1, 32, 10**30])
def test_uids_that_do_not_fit_are_refused_with_the_range(uid):
    coder = payload.Payload(payload.code_matrix(5, 15), np.zeros(15, np.uint8))
    with pytest.raises(ValueError, match=f"from 0 to 31, got {uid}"):
        coder.codeword(uid)


def test_a_codeword_is_the_message_times_the_code_matrix_xor_the_mask():
    code_matrix = payload.code_matrix(5, 15)
    mask = payload.key_mask(KEY, 15)
    codeword = payload.Payload(code_matrix, mask).codeword(0b01001)
    assert codeword.dtype == np.float32
    np.testing.assert_array_equal(codeword, code_matrix[1] ^ code_matrix[4] ^ mask)


def _forged(coder, known_uid, wanted_uid):
    """The UID that is read from the tag of somebody who knows one codeword with its UID, and the public code."""
    public = payload.Payload(coder.code_matrix, np.zeros_like(coder.mask))
    mask = coder.codeword(known_uid) != public.codeword(known_uid)
    written = (mask != public.codeword(wanted_uid)) != coder.mask
    assert not ((written[:30] @ coder.code_matrix % 2) != written).any()  # A tag it is: the reader claims it.
    return coder.uid(written[:30])


def test_a_known_uid_gives_every_other_one_in_version_1_and_none_in_version_2():
    code_matrix, wanted = payload.code_matrix(30, 63), list(range(100, 122))
    first, second = (payload.Payload.of_key(KEY, code_matrix, version) for version in payload.VERSIONS)
    assert [_forged(first, 12345, uid) for uid in wanted] == wanted
    assert not set(_forged(second, 12345, uid) for uid in wanted) & set(range(2**20))  # Each by one chance in 1,024.
    assert _forged(second, 12345, 12345) == 12345  # Nothing stops copying.
