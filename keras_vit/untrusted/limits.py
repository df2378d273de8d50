# SPDX-License-Identifier: MIT
"""How much a file from a stranger may cost. Every such limit stands here, with its reason.

Sizes are in bytes. A limit is far above what an honest file needs, and low enough that reading
whatever stays below it neither fills the memory nor takes minutes.
"""

import dataclasses

# --- JSON ---------------------------------------------------------------------------------------
# A recipe, a report, a metadata.json: the labels of 21,843 classes have 1.5 MB.
JSON = 16_000_000
# The list of a run's files, in order to say what changed: a million of them.
INDEX = 100_000_000
# Lists in objects in lists: our deepest file has 6 levels.
JSON_DEPTH = 64
# Digits of a whole number: 64 bits have 20; some libraries write 10**30 for "without end".
JSON_DIGITS = 40

# --- Text ---------------------------------------------------------------------------------------
# labels.txt, and other text that is read whole.
TEXT = 16_000_000
# A table of images and classes, or the record of the splits of a run.
MANIFEST = 500_000_000
# Lines in it: ImageNet has 1.4 million images.
MANIFEST_LINES = 5_000_000
# Characters in one line of it: a path has at most 4,096 bytes, and a list of classes is short.
MANIFEST_LINE = 1_000_000

# --- Images -------------------------------------------------------------------------------------
# One image file: 100 megapixels of three bytes, uncompressed, have 300 MB.
IMAGE = 320_000_000
# One from the web: a photograph of 24 megapixels has 10 MB, and its server may send anything.
WEB_IMAGE = 50_000_000
# Seconds that it may take in all, and without a byte.
WEB_SECONDS = 60
WEB_SILENCE = 15
# Pixels, by the header: a file of 1 MB can unfold to gigabytes.
IMAGE_PIXELS = 100_000_000
# Height or width of one in pixels: what JPEG can have.
IMAGE_SIDE = 65_535
# A model file. The largest published Vision Transformer (22 billion) has 88 GB.
MODEL = 200 * 10**9
# Files that a checkpoint may be in; at 200 MB each, they hold what `MODEL` allows.
MODEL_PARTS = 1_000
# A download of weights whose server does not say how long it is: hubs say it, and a Vision
# Transformer of 2 billion weights in float32 has 8 GB.
DOWNLOAD_WITHOUT_LENGTH = 10 * 10**9
# Bytes that must come in each minute of one (5 kB/s); a server that is slower may never end.
DOWNLOAD_MINUTE = 300_000
# Height and width that a model may ask for in pixels: the largest published models take 1,024.
MODEL_SIDE = 4_096
# Classes: the largest published set of images has 21,843 (a number of outputs, not of images).
CLASSES = 1_000_000
# Characters in the name of a class or a model.
NAME = 1_000


# --- Arrays and archives ------------------------------------------------------------------------
# Bytes that declare the shape and type of an array: NumPy writes 118.
NPY_HEADER = 4_096


@dataclasses.dataclass(frozen=True)
class Zip:
    """What a zip archive may hold; the same numbers bound a tar archive.

    Attributes:
        members: files and folders in it.
        member: bytes that one may unpack to.
        total: bytes that all may unpack to.
        ratio: unpacked over packed bytes; deflate reaches 1,032 on zeros.
        harmless: an archive that unpacks to less may do so by any ratio.
    """

    members: int
    member: int
    total: int
    ratio: int
    harmless: int

    def total_of(self, packed: int) -> int:
        """Bytes that an archive of `packed` bytes may unpack to."""
        return min(self.total, max(self.ratio * packed, self.harmless))

    @property
    def directory(self) -> int:
        """Bytes of the table at the end: 46 for each member, its name twice, dates and rights."""
        return 512 * self.members


# Weights hardly compress. The largest published Vision Transformer (22 billion) has 88 GB.
WEIGHTS = Zip(100_000, 200 * 10**9, 200 * 10**9, ratio=100, harmless=64_000_000)
# A .keras file: three members, of which one has the weights; zeros of a new model compress well.
KERAS = Zip(1_000, 200 * 10**9, 200 * 10**9, ratio=20, harmless=256_000_000)
# Files at the end of a .tflite: labels and metadata.
ASSOCIATED = Zip(100, JSON, 4 * JSON, ratio=10**6, harmless=4 * JSON)
# Arrays of images are often bitmaps, which compress; a set that does not fit a memory is no .npz.
ARRAYS = Zip(10_000, 10**12, 10**12, ratio=100, harmless=100_000_000)
# Images are compressed already. ImageNet has 1.4 million files; a zip's table is held in memory.
IMAGES = Zip(2_000_000, IMAGE, 10**12, ratio=100, harmless=100_000_000)
