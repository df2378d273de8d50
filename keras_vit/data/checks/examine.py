# SPDX-License-Identifier: MIT
"""Whether image files can be used, before anything is trained on them."""

import dataclasses
import hashlib
from collections.abc import Sequence

from PIL import Image

from keras_vit.data.images import ROOM, opened, orientation_or_none, pixels_of
from keras_vit.errors import UserError
from keras_vit.progress import track
from keras_vit.threads import map_in_threads
from keras_vit.untrusted.reading import open_regular
from keras_vit.untrusted.text import visible

_SHOWN = 100  # broken files that a message lists
_TOGETHER = 16  # files that a thread takes at a time: to hand one over costs a tenth of a small one
_AHEAD = 64  # of these whose results may wait for a slow one
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
    digest = None
    try:
        with opened(path) as image:
            (width, height), orientation = image.size, orientation_or_none(image)
            traits = (*_traits(image), *(("EXIF",) if orientation is None else ()))
            if decode:
                with ROOM.taken(width * height):
                    image.draft(image.mode, (1, 1))  # does nothing for other formats
                    pixels_of(image, path)
                digest = _digest(path)
            if _is_animated(image):  # to be asked last, as it goes to other frames
                traits = ("animated", *traits)
    except UserError as error:
        return Examined(path, problem=str(error))
    return Examined(path, None, width, height, orientation or 1, traits, digest)


def examine_all(paths: Sequence[str], decode: bool = True) -> list[Examined]:
    """`examine` of many files, in their order, on all cores."""
    together = [paths[i : i + _TOGETHER] for i in range(0, len(paths), _TOGETHER)]
    found = map_in_threads(lambda part: [examine(path, decode) for path in part], together, _AHEAD)
    shown = track(found, "reading image files", len(paths), size=len)
    return [one for part in shown for one in part]


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


def _digest(path: str) -> str:
    with open_regular(path) as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _is_animated(image: Image.Image) -> bool:
    try:
        return getattr(image, "is_animated", False)
    except Exception:  # a later frame is damaged, which is not used
        return False


def _traits(image: Image.Image):
    packing = image.tile[0][_RAW_MODE] if image.tile else ""
    if "16" in str(packing) or image.mode.startswith("I"):
        yield "16-bit"
    if image.mode == "CMYK":
        yield "CMYK"
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        yield "alpha"
