"""C2PA's resolution of soft bindings over the registry: what is found, by whom, and what cannot be tried through."""

import base64

import pytest

from faketagger.serving.platform import c2pa, fingerprints
from faketagger.tests.serving.platform.stubs import BITS, jpeg, pixels_of, png, scene


@pytest.fixture
def registered(platform, callers):
    """A tagged file and its registered picture."""

    def make(seed=1, name="ann"):
        upload = platform.fetch(callers[name], platform.upload(callers[name], png(scene(seed)), "a.png").id)
        return upload.file, upload.picture

    return make


def _of_uid(uid):
    return base64.b64encode(int(uid).to_bytes(BITS // 8, "big")).decode()


def _of_hash(hash):
    return base64.b64encode(bytes.fromhex(hash)).decode()


def test_the_algorithms_are_told_to_anybody(client):
    told = client.get("/c2pa/services/supportedAlgorithms").json()
    assert told == {"watermarks": [{"alg": c2pa.TAG}], "fingerprints": [{"alg": c2pa.HASH}]}


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("name, found", [("ann", True), ("svc", True), ("mod", True), ("bob", False)])
def test_a_uid_finds_its_picture_for_who_may_know_it(client, bearer, registered, method, name, found):
    _, picture = registered()
    asked = {"alg": c2pa.TAG, "value": _of_uid(picture.uid)}
    given = {"params": asked} if method == "GET" else {"json": asked}
    matches = client.request(method, "/c2pa/matches/byBinding", headers=bearer(name), **given).json()["matches"]
    assert matches == [{"manifestId": f"urn:c2pa:{picture.id}", "similarityScore": 100}][:found]


def test_uids_cannot_be_tried_through(client, bearer, registered):
    """The answer for what may not be known is, byte by byte, that for what is not there."""
    _, picture = registered()
    ask = {"alg": c2pa.TAG, "value": _of_uid(picture.uid)}
    other = {**ask, "value": _of_uid((int(picture.uid) + 1) % 2**BITS)}
    hidden, missing = (client.get("/c2pa/matches/byBinding", params=it, headers=bearer("bob")) for it in (ask, other))
    assert (hidden.status_code, hidden.content) == (missing.status_code, missing.content) == (200, b'{"matches":[]}')
    hidden, missing = (
        client.get(f"/c2pa/manifests/urn:c2pa:{it}", headers=bearer("bob"))
        for it in (picture.id, "00000000-0000-4000-8000-000000000000")
    )
    assert (hidden.status_code, hidden.content) == (missing.status_code, missing.content)
    assert hidden.status_code == 404


def test_queries_of_an_account_are_limited(client, bearer, platform, callers):
    for _ in range(platform.limits.queries):
        platform.accounts.count(callers["svc"], "query", platform.limits.queries)
    asked = {"alg": c2pa.TAG, "value": _of_uid(1)}
    assert client.get("/c2pa/matches/byBinding", params=asked, headers=bearer("svc")).status_code == 429
    assert client.get("/c2pa/manifests/urn:c2pa:x", headers=bearer("svc")).status_code == 429


def test_a_fingerprint_finds_what_is_near(client, bearer, registered):
    file, picture = registered()
    registered(2)
    near = fingerprints.hash_whole(pixels_of(jpeg(pixels_of(file), 50)))
    asked = {"alg": c2pa.HASH, "value": _of_hash(near)}
    (match,) = client.get("/c2pa/matches/byBinding", params=asked, headers=bearer("svc")).json()["matches"]
    assert match["manifestId"] == f"urn:c2pa:{picture.id}" and match["similarityScore"] >= 92


def test_content_finds_its_picture_by_tag_and_by_look(client, bearer, registered):
    file, picture = registered()
    image = {"Content-Type": "image/jpeg"}
    for data in (jpeg(pixels_of(file)), jpeg(scene(1), 60)):
        answer = client.post("/c2pa/matches/byContent", content=data, headers={**bearer("svc"), **image})
        assert [it["manifestId"] for it in answer.json()["matches"]] == [f"urn:c2pa:{picture.id}"]
    hidden = client.post("/c2pa/matches/byContent", content=file, headers={**bearer("bob"), **image})
    assert hidden.json() == {"matches": []}
    typed = client.post(
        "/c2pa/matches/byContent", content=file, headers={**bearer("svc"), "Content-Type": "text/plain"}
    )
    assert typed.status_code == 415


def test_a_manifest_is_the_record_without_the_uid(client, bearer, registered):
    _, picture = registered(name="pia")
    answer = client.get(f"/c2pa/manifests/urn:c2pa:{picture.id}", headers=bearer("bob"))
    found = answer.json()
    assert (found["record"]["owner"], found["signed"], found["record"]["width"]) == ("pia", False, 192)
    assert found["assertions"][0]["data"]["blocks"][0]["value"] == _of_hash(picture.hash_whole)
    assert "uid" not in answer.text


def test_only_so_many_matches_are_given(client, bearer, registered):
    file, _ = registered()
    registered()
    asked = {"alg": c2pa.HASH, "value": _of_hash(fingerprints.hash_whole(pixels_of(file)))}
    for most, given in ((1, 1), (5, 2)):
        answer = client.get("/c2pa/matches/byBinding", params={**asked, "maxResults": most}, headers=bearer("svc"))
        assert len(answer.json()["matches"]) == given


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"alg": "other", "value": "AAAA"},
        {"alg": c2pa.TAG},
        {"alg": c2pa.TAG, "value": "%%%"},
        {"alg": c2pa.TAG, "value": "AAAA"},
        {"alg": c2pa.HASH, "value": "AAAA"},
        {"alg": c2pa.HASH, "value": "A" * 2000},
        {"alg": c2pa.HASH, "value": "AAAAAAAAAAA=", "maxResults": "0"},
        {"alg": c2pa.HASH, "value": "AAAAAAAAAAA=", "maxResults": "x"},
    ],
)
def test_a_question_that_is_none_is_refused_with_400(client, bearer, asked):
    assert client.get("/c2pa/matches/byBinding", params=asked, headers=bearer("svc")).status_code == 400


def test_an_identifier_that_is_none_is_refused_with_400(client, bearer):
    assert client.get("/c2pa/manifests/file:..%2F..%2Fetc", headers=bearer("svc")).status_code in (400, 404)
    assert client.get("/c2pa/manifests/1", headers=bearer("svc")).status_code == 400


def test_without_a_token_only_the_algorithms_are_told(client):
    for path in ("/c2pa/matches/byBinding", "/c2pa/manifests/urn:c2pa:x"):
        assert client.get(path).status_code == 401
    assert client.post("/c2pa/matches/byContent", content=b"x").status_code == 401
    assert client.post("/c2pa/matches/byReference", json={"url": "http://127.0.0.1/"}).status_code == 404
