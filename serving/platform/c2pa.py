"""C2PA's Soft Binding Resolution API over the registry, below /c2pa (C2PA specification, its OpenAPI document 1.0.0).

Two algorithms: the tag, whose value is the UID in as many bytes as it needs, big-endian; and the perceptual hash of the
whole picture, of 8 bytes. Both in base64. Neither name is in C2PA's list yet. What the asker may not know is not among
the answers. The platform signs nothing: a manifest is the registry's own record, as JSON, not `application/c2pa`.
"""

import base64
import binascii

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from faketagger.serving.platform import registry, web
from faketagger.serving.platform.accounts import Caller
from faketagger.serving.platform.api import authorised, json_body, picture_body

TAG, HASH = "faketagger.tag.2", "faketagger.phash.1"
_IDENTIFIER = "urn:c2pa:"
_LONGEST_VALUE = 1000
_HASH_BYTES = 8


async def _algorithms(request: Request) -> Response:
    return JSONResponse({"watermarks": [{"alg": TAG}], "fingerprints": [{"alg": HASH}]})


async def _by_binding(request: Request, caller: Caller) -> Response:
    asked = dict(request.query_params) if request.method == "GET" else await json_body(request)
    algorithm, value = _known(asked.get("alg")), _bytes(asked.get("value"))
    if algorithm == HASH:
        if len(value) != _HASH_BYTES:
            raise HTTPException(400, f"a value of {HASH} has {_HASH_BYTES} bytes")
        near = await web.look(request, lambda service: service.matches_of_hash(caller, value.hex()))
        return _answer(request, [(picture, round(100 * (1 - apart / 64))) for picture, apart in near])
    bits = await web.look(request, lambda service: service.uid_bits())
    if len(value) != (bits + 7) // 8:
        raise HTTPException(400, f"a value of {TAG} has {(bits + 7) // 8} bytes")
    uid = int.from_bytes(value, "big")
    found = await web.look(request, lambda service: service.matches_of_uid(caller, uid))
    return _answer(request, [(picture, 100) for picture in found])


async def _by_content(request: Request, caller: Caller) -> Response:
    for name in ("alg", "hintAlg"):
        if request.query_params.get(name):
            _known(request.query_params[name])
    data = await picture_body(request, caller)
    return _answer(request, await web.work(request, lambda service: service.matches(caller, data)))


async def _manifest(request: Request, caller: Caller) -> Response:
    asked = request.path_params["manifest_id"]
    if not asked.startswith(_IDENTIFIER) or len(asked) > _LONGEST_VALUE:
        raise HTTPException(400, f"a manifest's identifier begins with {_IDENTIFIER}")
    picture = await web.look(request, lambda service: service.picture(caller, asked.removeprefix(_IDENTIFIER)))
    bound = base64.b64encode(bytes.fromhex(picture.hash_whole)).decode()
    assertion = {"label": "c2pa.soft-binding", "data": {"alg": HASH, "blocks": [{"scope": {}, "value": bound}]}}
    said = {"manifestId": asked, "signed": False, "record": registry.record(picture), "assertions": [assertion]}
    return JSONResponse(said)


def _answer(request: Request, found: list[tuple]) -> Response:
    most = web.number(request.query_params.get("maxResults", "10"), 1, 100, "maxResults")
    first = sorted(found, key=lambda each: -each[1])[:most]
    matches = [{"manifestId": f"{_IDENTIFIER}{picture.id}", "similarityScore": score} for picture, score in first]
    return JSONResponse({"matches": matches})


def _known(algorithm: object) -> str:
    if algorithm not in (TAG, HASH):
        raise HTTPException(400, f"alg is {TAG} or {HASH}")
    return str(algorithm)


def _bytes(value: object) -> bytes:
    try:
        if isinstance(value, str) and 0 < len(value) <= _LONGEST_VALUE:
            return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        pass
    raise HTTPException(400, "value is of base64")


ROUTES = Mount(
    "/c2pa",
    routes=[
        Route("/services/supportedAlgorithms", _algorithms, methods=["GET"]),
        Route("/matches/byBinding", authorised(_by_binding), methods=["GET", "POST"]),
        Route("/matches/byContent", authorised(_by_content), methods=["POST"]),
        Route("/manifests/{manifest_id}", authorised(_manifest), methods=["GET"]),
    ],
)
