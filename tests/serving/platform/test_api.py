"""The interface for programs: what it takes, whom it answers, and what it says when it does not."""

import pytest
from starlette.testclient import TestClient

from faketagger.serving.platform import app, service
from faketagger.serving.platform.service import Limits
from faketagger.serving.platform.tagger import UnavailableError
from faketagger.tests.serving.platform.stubs import BlockTagger, jpeg, png, scene

PNG = {"Content-Type": "image/png"}


@pytest.fixture
def send(client, bearer):
    """Uploads or verifies a picture."""
    return lambda name, path, data, kind="image/png", **more: client.post(
        f"/api/v1{path}", content=data, headers={**bearer(name), "Content-Type": kind}, **more
    )


def test_an_upload_is_answered_with_its_file_and_uid(client, bearer, send):
    answer = send("ann", "/uploads", jpeg(scene(1), 95), "image/jpeg", params={"name": "a.jpg"})
    made = answer.json()
    assert (answer.status_code, made["outcome"], made["name"]) == (201, "tagged", "a.jpg")
    file = client.get(made["file"], headers=bearer("ann"))
    assert file.headers["content-type"] == "image/jpeg" and file.content.startswith(b"\xff\xd8\xff")
    assert file.headers["content-disposition"] == "attachment; filename*=UTF-8''a.tagged.jpg"
    assert BlockTagger().read(_pixels(file.content)).candidate == made["uid"]
    listed = client.get("/api/v1/uploads", headers=bearer("ann")).json()["uploads"]
    assert [each["id"] for each in listed] == [made["id"]]


def _pixels(data):
    from faketagger.tests.serving.platform.stubs import pixels_of

    return pixels_of(data)


def test_a_copy_is_held_decided_and_never_says_whose_it_is(client, bearer, send):
    file = client.get(send("ann", "/uploads", png(scene(1))).json()["file"], headers=bearer("ann")).content
    held = send("bob", "/uploads", file)
    assert held.json()["outcome"] == "held" and "ann" not in held.text and held.json()["file"] is None
    (case,) = client.get("/api/v1/queue", headers=bearer("mod")).json()["cases"]
    assert (case["owner"], case["uploader"], case["reason"]) == ("ann", "bob", "anothers")
    path = f"/api/v1/queue/{case['number']}"
    assert client.post(path, json={"release": "yes"}, headers=bearer("mod")).status_code == 400
    assert client.post(path, json={"release": True}, headers=bearer("mod")).json()["state"] == "released"
    assert client.post(path, json={"release": True}, headers=bearer("mod")).status_code == 409
    mine = client.get(f"/api/v1/uploads/{held.json()['id']}", headers=bearer("bob")).json()
    assert client.get(mine["file"], headers=bearer("bob")).content == file


def test_verify_says_what_is_known(client, bearer, send):
    file = client.get(send("ann", "/uploads", png(scene(1))).json()["file"], headers=bearer("ann")).content
    of_ann, of_bob = send("ann", "/verify", file).json(), send("bob", "/verify", file).json()
    assert (of_ann["outcome"], of_ann["owner"], of_ann["mine"], of_ann["change"]) == ("tagged", "ann", True, "none")
    assert (of_bob["outcome"], of_bob["owner"], of_bob["picture"]) == ("tagged", None, None)
    whole, half = (send("bob", "/verify", data).json() for data in (png(scene(2)), png(scene(2))[:20000]))
    assert (whole["outcome"], whole["damage"], half["outcome"]) == ("no tag", [], "no tag")
    assert "of its rows were taken" in half["damage"][0] and "Not all of the file was looked at" in half["message"][-1]


@pytest.mark.parametrize("path", ["/uploads", "/uploads/x", "/uploads/x/file", "/queue", "/queue/1", "/audit"])
def test_without_a_token_nothing_is_answered_and_a_cookie_is_none(client, tokens, path):
    wrong = [{}, {"Authorization": "Bearer x"}, {"Authorization": f"Basic {tokens['ann']}"}]
    client.post("/login", data={"token": tokens["mod"]})
    assert client.get("/queue").status_code == 200
    for headers in wrong:
        answer = client.get(f"/api/v1{path}", headers=headers)
        assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
        assert answer.json()["error"]["status"] == 401


@pytest.mark.parametrize("path", ["/queue", "/queue/1", "/audit"])
def test_what_is_for_moderators_looks_like_nothing_to_others(client, bearer, path):
    answer = client.get(f"/api/v1{path}", headers=bearer("ann"))
    assert answer.status_code == 404


@pytest.mark.parametrize(
    "data, kind, status, said",
    [
        (b"", "image/png", 422, "it is empty"),
        (b"<script>alert(1)</script>", "image/png", 422, "not a picture"),
        (png(scene(1))[:500], "image/png", 422, "not a readable picture"),
        (png(scene(1)), "text/html", 415, "Content-Type"),
        (png(scene(1)), "", 415, "Content-Type"),
        (png(scene(1, 32)), "image/png", 422, "too few"),
    ],
)
def test_what_is_no_picture_is_refused_in_a_sentence(send, data, kind, status, said):
    answer = send("ann", "/uploads", data, kind)
    assert answer.status_code == status and said in answer.json()["error"]["message"]


def test_limits_are_told_with_when_to_try_again(engine, callers, bearer):
    small = service.Service(engine, BlockTagger(), Limits(verifications=1))
    with TestClient(app.make_app(small), base_url="https://platform.test") as client:
        answers = [client.post("/api/v1/verify", content=png(scene(1)), headers={**bearer("ann"), **PNG}) for _ in "12"]
    assert [it.status_code for it in answers] == [200, 429] and 0 < int(answers[1].headers["retry-after"]) <= 3600


def test_a_tagger_that_is_away_is_told_without_its_address(send, tagger):
    tagger.broken = UnavailableError("10.0.0.7:8500: no server can be reached")
    answer = send("ann", "/uploads", png(scene(1)))
    assert answer.status_code == 503 and "10.0.0.7" not in answer.text and answer.headers["retry-after"] == "30"


def test_what_breaks_unexpectedly_is_told_without_its_inside(platform, tagger, bearer):
    tagger.broken = ValueError("secret inside")
    with TestClient(app.make_app(platform), base_url="https://platform.test", raise_server_exceptions=False) as client:
        answer = client.post("/api/v1/verify", content=png(scene(1)), headers={**bearer("ann"), **PNG})
    assert answer.status_code == 500 and "secret" not in answer.text and answer.json()["error"]["status"] == 500


@pytest.mark.parametrize("path", ["/api/v1/nothing", "/api/v1/uploads/..%2F..%2Fqueue", "/api/v1/matches/byReference"])
def test_what_is_not_there_is_said_in_json(client, bearer, path):
    answer = client.get(path, headers=bearer("ann"))
    assert answer.status_code == answer.json()["error"]["status"] == 404
    assert client.put("/api/v1/uploads", headers=bearer("ann")).status_code == 405


@pytest.mark.parametrize("body", [b"[]", b"{", b"[" * 50_000, b'{"release": 1}', b"\xff"])
def test_a_decision_that_is_none_is_refused(client, bearer, body):
    headers = {**bearer("mod"), "Content-Type": "application/json"}
    assert client.post("/api/v1/queue/1", content=body, headers=headers).status_code == 400
    assert client.post("/api/v1/queue/1", content=body, headers=bearer("mod")).status_code == 415


@pytest.mark.parametrize("number", ["0", "-1", "1e3", "99999999999999999999", "²", "1;drop"])
def test_a_case_that_is_no_number_is_refused(client, bearer, number):
    assert client.get(f"/api/v1/queue/{number}", headers=bearer("mod")).status_code == 400
