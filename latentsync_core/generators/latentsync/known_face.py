"""Whether a face is the one that the embedded model knows: its autoencoder, which has seen no other, draws it again.

Medians over frames spread over a clip, of redrawing_error; the lines in brackets were tried on the crop.

    portrait's clip, astronaut.jpg                  0.06    another (grace_hopper.jpg)               0.41
    at 100 to 1024 pixels a side                    0.06    demo1_video.mp4                          0.25
    turned by 8 and 20 degrees                      0.07    demo3_video.mp4                          0.29
    brightness 0.3 to 1.4                    0.07 - 0.09    demo3 at half the size                   0.30
    contrast 0.5, 1.5                        0.07 - 0.14    (demo1, demo3 mirrored)           0.26, 0.27
    warm, grey                               0.08 - 0.12    (demo1, demo3 brighter by half)   0.25, 0.32
    noise of 15 and 40 levels                0.07 - 0.11    (demo1, demo3 grey)               0.21, 0.26
    blurred by 3 and 6 pixels                0.07 - 0.10    (demo1, demo3 blurred by 4)       0.22, 0.23
    60 kbit/s, CRF 45, CRF 38 at 320 x 240   0.09 - 0.11    (demo1, demo3 with contrast 1.6)  0.25, 0.29
    stretched to 3:2                                0.13
    (60 kbit/s and twice the saturation)            0.17    (the portrait mirrored                   0.18)
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...digests import known_digest, weights_digest
from ...disk_cache import DiskCache, content_key
from ...entry_file import read_entry, write_entry
from ...faces import FaceTrack
from ...media import ImageReader, VideoReader
from ...models.embedded import embedded_vae
from ...models.vae import AutoencoderCodec
from ...versions import computing_versions
from ..aligned_faces import Alignment
from ..face_latents import pixels_of
from ..generator import UnknownFaceError

ERRORS = "face errors"  # kind of cached results, and their folder's name
ERROR_VERSION = 1  # raise it when cropping or the measure gives other numbers

MOST_ERROR = 0.19  # of the portrait; between the two columns above
CHECKED_FRAMES = 5
REACH = 1000  # frames among which those lie: going further would mean to decode a long film once more
RESOLUTION = 128  # pixels, at which the embedded autoencoder was trained
POOLED = 4  # pixels: noise and compression are finer, and no matter
PORTRAIT_MEAN = (0.148, -0.041, -0.207)  # of red, green and blue in the portrait's crop, in -1..1
PORTRAIT_DEVIATION = (0.619, 0.559, 0.545)


def redrawing_error(crops: Sequence[np.ndarray]) -> float:
    """How far the embedded autoencoder is from drawing a face again: the median over its crops, 0 for a perfect copy.

    crops: uint8 (128, 128, 3), RGB, as crop_face cuts them. The error of a crop is the deviation of the redrawn from
    the given one, both averaged over 4 x 4 pixels, in shares of the given one's own; once in the light it was filmed
    in, once in the portrait's, whichever is less.
    """
    pixels = pixels_of(crops)
    codec = AutoencoderCodec(embedded_vae())
    return float(torch.minimum(copy_errors(pixels, codec), copy_errors(in_portrait_light(pixels), codec)).median())


def copy_errors(pixels: Tensor, codec: AutoencoderCodec) -> Tensor:
    """The error of each of the crops (f, 3, h, w) in [-1, 1]: (f,)."""
    redrawn = F.avg_pool2d(codec.decode(codec.encode(pixels).mean), POOLED)
    given = F.avg_pool2d(pixels, POOLED)
    return (redrawn - given).square().flatten(1).mean(1).sqrt() / given.flatten(1).std(1).clamp_min(1e-6)


def in_portrait_light(pixels: Tensor) -> Tensor:
    """Crops (f, 3, h, w) with the mean and the deviation of each colour that the portrait has."""
    mean, deviation = pixels.mean((2, 3), keepdim=True), pixels.std((2, 3), keepdim=True).clamp_min(1e-6)
    wanted_mean, wanted = (torch.tensor(known)[:, None, None] for known in (PORTRAIT_MEAN, PORTRAIT_DEVIATION))
    return ((pixels - mean) / deviation * wanted + wanted_mean).clamp(-1, 1)


def face_error(
    reader: VideoReader | ImageReader, track: FaceTrack, frames: Sequence[int], cache: DiskCache | None = None
) -> float:
    """The redrawing_error of a tracked face in a few of the source `frames`, spread over them; in all it is present.

    cache: where that of a file is kept.
    """
    chosen = checked_frames(frames)
    alignment = Alignment(track.matrices(RESOLUTION), RESOLUTION, antialias=True)

    def compute() -> float:
        return redrawing_error([alignment.crop(frame) for frame in reader.frames_at(chosen)])

    if cache is None or isinstance(reader, ImageReader):
        return compute()
    key = content_key(
        version=ERROR_VERSION,
        packages=computing_versions(),
        video=known_digest(reader.info.path, cache),
        frames=chosen,
        crops=alignment.digest(chosen),
        VAE=weights_digest(embedded_vae()),
    )
    error = cache.get(ERRORS, key, lambda path: read_entry(path)[1]["error"])
    if error is None:
        error = compute()
        cache.put(ERRORS, key, lambda path: write_entry(path, {}, {"error": error}))
    return error


def checked_frames(frames: Sequence[int]) -> list[int]:
    """Those of some source frames in which the face is looked at, rising."""
    among = sorted(set(frames))[:REACH]
    return [among[round(place)] for place in np.linspace(0, len(among) - 1, min(CHECKED_FRAMES, len(among)))]


def check_known(error: float, name: object, insist: str) -> None:
    """Raise UnknownFaceError where a face_error is not that of the portrait.

    name: of the clip. insist: how to go on all the same, for the end of the sentence.
    """
    if error > MOST_ERROR:
        raise UnknownFaceError(
            f"{name}: this is not the one face that the embedded model knows (its autoencoder redraws it with an error "
            f"of {error:.2f}, its own portrait with at most {MOST_ERROR:.2f}), and over any other it paints a smear; "
            f"get a model for every face with `python -m latentsync_core download 1.6`, or insist with {insist}."
        )
