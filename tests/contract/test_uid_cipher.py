"""Encrypted UIDs: values that must never change, permutations, and how random they look."""

import collections

import pytest

from faketagger.components.contract.uid_cipher import UidCipher

KEY = bytes(range(32))


def _keys(count):
    return [number.to_bytes(32, "big") for number in range(count)]


@pytest.mark.parametrize(
    "bits, encrypted",
    [
        (7, {0: 50, 1: 114, 2: 23, 3: 33}),
        (30, {0: 1065706977, 1: 72037325, 12345: 694926116, 2**30 - 1: 231365044}),
        (100, {0: 312428409459407358136298239378, 2**100 - 1: 1047671168756976649418102012785}),
    ],
)
def test_tags_stay_readable_for_ever(bits, encrypted):
    cipher = UidCipher(KEY, bits)
    assert {number: cipher.encrypt(number) for number in encrypted} == encrypted
    assert {cipher.decrypt(value): value for value in encrypted.values()} == encrypted


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 7, 8, 9, 11])
def test_every_number_has_one_image_of_its_own_and_comes_back(bits):
    for key in _keys(2):
        cipher = UidCipher(key, bits)
        images = [cipher.encrypt(number) for number in range(2**bits)]
        assert sorted(images) == list(range(2**bits))
        assert [cipher.decrypt(image) for image in images] == list(range(2**bits))


@pytest.mark.slow
def test_over_keys_every_order_of_a_small_domain_is_as_likely():
    counts = collections.Counter(tuple(map(UidCipher(key, 2).encrypt, range(4))) for key in _keys(4800))
    assert len(counts) == 24  # All of 4!.
    assert sum((count - 200) ** 2 / 200 for count in counts.values()) < 49.7  # χ² of 23 degrees, one in a thousand.


def test_images_of_neighbours_tell_nothing_of_each_other():
    differences = [UidCipher(key, 4).encrypt(6) ^ UidCipher(key, 4).encrypt(7) for key in _keys(3000)]
    counts = collections.Counter(differences)
    assert set(counts) == set(range(1, 16))
    assert sum((count - 200) ** 2 / 200 for count in counts.values()) < 36.1  # χ² of 14 degrees, one in a thousand.


def test_permutations_of_several_lengths_are_independent():
    short, long = UidCipher(KEY, 8), UidCipher(KEY, 9)
    agree = sum(short.encrypt(number) == long.encrypt(number) % 256 for number in range(256))
    assert agree < 8  # One is expected; of 256 draws at 1/256, eight come once in 100,000.
