"""FakeTagger in Python: pictures of Pillow's and NumPy's in and out.

    from PIL import Image
    from faketagger import Tagger

    tagger = Tagger("my.key")  # `faketagger keygen my.key` makes one.
    tagger.tag(Image.open("in.jpg"), uid=12345).image.save("out.png")
    print(tagger.read(Image.open("out.png")).uid)

Importing this loads nothing large, logs nothing and changes no settings; TensorFlow is imported when a Tagger is made.
"""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np
from PIL import Image, ImageOps

from faketagger.components.contract import payload, pretrained

if TYPE_CHECKING:
    from types import TracebackType

    from faketagger.components.contract.picture import Picture
    from faketagger.serving.photograph.reading import PhotographReading
    from faketagger.serving.photograph.tagging import TaggedFace

AnyImage = TypeVar("AnyImage", np.ndarray, Image.Image)
_MODES = ("L", "LA", "RGB", "RGBA")


@dataclasses.dataclass(frozen=True)
class Tagged(Generic[AnyImage]):
    """A tagged picture.

    Attributes:
      image: of the kind that was given. To save it as JPEG is fine; the tag is made to survive that. Pillow's `save`
        writes profile and EXIF data where it is given icc_profile=image.info.get("icc_profile"), exif=image.getexif().
      faces: what became of each face, the largest first; none where none was found, or looked for.
      replaced: what was read before, where another tag was replaced.
    """

    image: AnyImage
    faces: tuple[TaggedFace, ...]
    replaced: PhotographReading | None


class Tagger:
    """Tags and reads pictures with a secret key; safe to call from several threads.

    A picture is an array, uint8 or uint16 [H, W] or [H, W, C] of grey, grey and alpha, RGB or RGBA, or an Image of mode
    L, LA, RGB or RGBA, which is turned as its EXIF data say. Of a cutout the tag lies over what is visible. Errors are
    TaggerError and its kinds, of which faketagger has those that concern one picture, or ValueError where what is given
    is no such picture.
    """

    def __init__(
        self, key: str | os.PathLike[str] | bytes, *, model: str | None = None, server: str | None = None
    ) -> None:
        """Loads a tagger.

        Args:
          key: the file of a secret key, or what is in it; surrounding white space does not count.
          model: a SavedModel to run in this process; by default the shipped one.
          server: HOST:PORT of a server to work through instead.

        Raises:
          ValueError: no key in that file, or both a model and a server.
          TaggerError: the model cannot be loaded.
        """
        from faketagger.serving import client

        if model is not None and server is not None:
            raise ValueError("a tagger runs in this process (model) or on a server, not both")
        secret = key.strip() if isinstance(key, bytes) else payload.read_key(os.fspath(key))
        backend = client.connect(server) if server else client.load(model or pretrained.TAGGER)
        self._client = client.TaggerClient(backend, secret)

    @property
    def key_fingerprint(self) -> str:
        """Which key it is, without telling it."""
        return self._client.key_fingerprint

    def tag(
        self,
        image: AnyImage,
        uid: int,
        *,
        strength: float | None = None,
        whole: bool = False,
        replace: bool = False,
        verify: bool = True,
    ) -> Tagged[AnyImage]:
        """Tags each face of a picture and the rest of it, and reads the result.

        Args:
          image: left as it is.
          uid: the number to put in.
          strength: how strongly, above 0; the model's own default.
          whole: puts one tag over the whole picture, and looks for no faces.
          replace: tags the picture though it carries a tag of this key.
          verify: reads the tagged picture.

        Raises:
          ValueError: `image` is no such picture, or wholly transparent.
          AlreadyTaggedError: it carries a tag of this key, and `replace` is false.
          NotReadError: the tag does not hold in this picture.
          PictureError: the UID does not fit, or the tag would spoil the picture at such a strength.
          TaggerError: the model or the server fails.
        """
        picture = _picture(image)
        picture.pixels = picture.pixels.copy()
        visible = _visible(picture)
        # Views of faces reach beyond a cutout's rim, where no tag stays.
        made = self._client.photograph_tag(visible.rgb(), uid, strength, whole or picture.is_cutout, replace)
        visible.add(made.overlay.strips())
        if verify:
            self._client.check(visible.rgb(), uid, made)
        return Tagged(_like(image, picture), made.faces, made.replaced)

    def read(self, image: np.ndarray | Image.Image) -> PhotographReading:
        """Looks for a tag in a picture, however it was turned, cut or framed; errors are those of `tag`."""
        picture = _picture(image)
        return self._client.read_photograph(_visible(picture).rgb()).moved(*picture.visible_corner())

    def close(self) -> None:
        """Lets go of the model, or of the server."""
        self._client.close()

    def __enter__(self) -> Tagger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _picture(image: np.ndarray | Image.Image) -> Picture:
    from faketagger.components.contract.picture import Picture

    if isinstance(image, Image.Image):
        if image.mode not in _MODES:
            raise ValueError(f"a picture's mode is one of {', '.join(_MODES)}, got {image.mode}: convert() it")
        if image.mode in ("L", "RGB") and "transparency" in image.info:  # Tagged, the colour would be another.
            raise ValueError("a colour of the picture stands for transparency: convert() it to LA or RGBA")
        pixels = np.asarray(ImageOps.exif_transpose(image))
    else:
        pixels = np.asarray(image)
        if pixels.dtype not in (np.uint8, np.uint16) or pixels.ndim not in (2, 3):
            wanted = "uint8 or uint16 [H, W] or [H, W, C]"
            raise ValueError(f"a picture is {wanted}, got {pixels.dtype} {list(pixels.shape)}")
    pixels = pixels if pixels.ndim == 3 else pixels[..., np.newaxis]
    if 0 in pixels.shape or pixels.shape[2] > 4:
        raise ValueError(f"a picture has pixels of 1 to 4 channels, got {list(pixels.shape)}")
    return Picture("picture", "PNG", pixels)


def _visible(picture: Picture) -> Picture:
    visible = picture.visible()
    if not visible.pixels.size:
        raise ValueError("all of the picture is transparent")
    return visible


def _like(image: AnyImage, picture: Picture) -> AnyImage:
    """A tagged picture in the kind of the untagged one."""
    pixels = picture.pixels[..., 0] if picture.pixels.shape[2] == 1 else picture.pixels
    if not isinstance(image, Image.Image):
        return pixels.reshape(image.shape)
    made = Image.fromarray(pixels, image.mode)
    made.info = dict(ImageOps.exif_transpose(image).info)
    return made
