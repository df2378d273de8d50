# SPDX-License-Identifier: MIT
"""Whether image files can be used, before anything is trained on them."""

import dataclasses
import hashlib
import io
from collections.abc import Sequence

from PIL import Image

from keras_vit.data.images import ROOM, opened, orientation_or_none, pixels_of
from keras_vit.errors import UserError
from keras_vit.progress import track
from keras_vit.threads import map_in_threads
from keras_vit.untrusted import limits
from keras_vit.untrusted.reading import read_bytes
from keras_vit.untrusted.text import visible

_SHOWN = 100  # broken files that a message lists
_AHEAD = 1000  # files whose results may wait for a slow one
_RAW_MODE = 3  # place in an entry of `Image.tile`: how pixels are packed, e.g. ("RGB;16B", ...)


@dataclasses.dataclass(frozen=True)
class Examined:
    """What is known of one image file.

    Attributes:
        path: the file.
        problem: why it cannot be used, with its name, or None.
        width, height: in pixels as they are stored, before the orientation is applied; 0 with a
            problem.
        orientation: EXIF orientation, 1 (upright) to 8.
        traits: of "animated", "16-bit", "CMYK", "alpha" and "EXIF" (which cannot be read), what it
            is.
        digest: of its contents, in hexadecimal; None unless all of it was read and decoded.
    """

    path: str
    problem: str | None = None
    width: int = 0
    height: int = 0
    orientation: int = 1
    traits: tuple[str, ...] = ()
    digest: str | None = None

    @property
    def final(self) -> bool:
        """Whether to decode the file could tell nothing more."""
        return self.problem is not None or self.digest is not None


def examine(path: str, decode: bool = True) -> Examined:
    """Reads a file's header, checks its sizes and, with `decode`, reads all of it.

    It can be used if training and predictions can decode it: all three do it by the same functions
    (`keras_vit.data.images`). A JPEG is decoded at an eighth of its size: every byte of it is read
    and checked, and only the last step, which cannot fail, is spared.
    """
    try:
        with opened(path) as image:  # the limit of pixels is checked before all of it is read
            orientation = orientation_or_none(image)
            traits = tuple(_traits(image)) + (("EXIF",) if orientation is None else ())
            width, height = image.size
            found = Examined(path, None, width, height, orientation or 1, traits)
        if not decode:
            return found
        with ROOM.taken(found.width * found.height):
            contents = read_bytes(path, limits.IMAGE)
            with opened(io.BytesIO(contents)) as image:
                image.draft(image.mode, (1, 1))  # does nothing for other formats
                pixels_of(image, path)
    except UserError as error:
        return Examined(path, problem=str(error))
    digest = hashlib.blake2b(contents, digest_size=16).hexdigest()
    return dataclasses.replace(found, digest=digest)


def examine_all(paths: Sequence[str], decode: bool = True) -> list[Examined]:
    """`examine` of many files, in their order, on all cores."""
    found = map_in_threads(lambda path: examine(path, decode), paths, _AHEAD)
    return list(track(found, "reading image files", len(paths)))


def problems_of(paths: Sequence[str]) -> list[str]:
    """Decodes every file and returns what is wrong with those that cannot be used."""
    return [found.problem for found in examine_all(paths) if found.problem]


def broken_message(where: object, problems: Sequence[str]) -> str:
    """One message that lists broken files."""
    listed = "".join(f"\n  {visible(problem)}" for problem in problems[:_SHOWN])
    more = f"\n  and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    return (
        f"{where}: {len(problems)} file{'s' * (len(problems) > 1)} cannot be used:{listed}{more}\n"
        "Replace or remove them; `keras-vit train` leaves them out with --on_bad=skip. "
        f"`keras-vit audit {where}` lists all."
    )


def _is_animated(image: Image.Image) -> bool:
    try:
        return getattr(image, "is_animated", False)
    except Exception:  # a later frame is damaged, which is not used
        return False


def _traits(image: Image.Image):
    if _is_animated(image):
        yield "animated"
    packing = image.tile[0][_RAW_MODE] if image.tile else ""
    if "16" in str(packing) or image.mode.startswith("I"):
        yield "16-bit"
    if image.mode == "CMYK":
        yield "CMYK"
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        yield "alpha"
