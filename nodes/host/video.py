"""A result as VIDEO: the generated faces go into their frames, and the frames into one file in the temp folder."""

import logging
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from comfy_api.latest import InputImpl
from PIL import Image

from ...latentsync_core.audio import check_silence
from ...latentsync_core.faces import FadeLimits, effect_strength, why_unshown
from ...latentsync_core.generators.face_crops import Composited, FaceCrops
from ...latentsync_core.intervals import listed, stretches_of
from ...latentsync_core.media import EncodeSettings
from ...latentsync_core.pipeline.composite import clip_writer, composite, write_clip
from ..types import ClipTokens, TrackedFaces
from .folders import temporary_file
from .messages import show_in_node
from .progress import node_callbacks
from .scores import result_score, result_sentence
from .video_source import waveform_of

SMALL_MASK_SIDE = 64  # pixels

LOSSLESS_CODEC = "ffv1"
LOSSLESS_SAVED = (
    "ffv1 with uncompressed sound: Save Video puts it into a .mp4, which mpv, VLC and FFmpeg open and few others do; "
    "choose the format mkv there, if your ComfyUI has it, or the codec h264 here."
)

log = logging.getLogger(__name__)


def image_of(picture: Image.Image) -> torch.Tensor:
    """A picture as IMAGE: (1, H, W, 3) float32 in 0..1."""
    return torch.from_numpy(np.array(picture.convert("RGB")))[None].float() / 255


def video_from_file(path: str):
    """A VIDEO that Save Video copies without decoding; a temporary file is there until the last VIDEO over it is gone."""
    return InputImpl.VideoFromFile(path)


@dataclass(frozen=True)
class Blend:
    """How a clip's generated faces go into its frames: into which crops, and how much of each output frame's mouth.

    strength: (frames,) in 0..1. notes: what the library warned of, to be said with the result.
    """

    crops: FaceCrops
    strength: np.ndarray
    notes: tuple[str, ...] = ()


def clip_blend(faces: TrackedFaces, tokens: ClipTokens, blend: str, crops: FaceCrops, fade: FadeLimits) -> Blend:
    """The blend of faces that were cut out as `crops`; the reference's never fades."""
    strength = mouth_strength(faces, tokens, blend, fade)
    return Blend(crops, strength if blend == "mouth" else np.ones_like(strength))


def mouth_strength(faces: TrackedFaces, tokens: ClipTokens, blend: str, fade: FadeLimits) -> np.ndarray:
    """How much of the new mouth each output frame shows, (frames,): faded by pose and, if asked for, in silence."""
    strength = effect_strength(faces.track, fade)[list(tokens.timeline.source)]
    if blend == "mouth" and not strength.any():
        log.warning("A face is found, but no frame of it can be synced: %s", why_unshown(faces.track, fade))
    if tokens.shown is not None:
        check_silence("keep", blend)
        strength = strength * tokens.shown
    return strength


def mask_pictures(mask: torch.Tensor | None) -> np.ndarray | None:
    """A MASK (1 or frames, H, W) as the library takes it; None stays None."""
    return None if mask is None else mask.float().cpu().numpy()


def encode_settings(codec: str, crf: int) -> EncodeSettings:
    """How a node writes its result; lossless pictures go with lossless sound."""
    return EncodeSettings(codec=codec, crf=crf, audio_codec="pcm" if codec == LOSSLESS_CODEC else "auto")


def blend_to_file(
    faces: TrackedFaces, tokens: ClipTokens, generated, blend: Blend, settings: EncodeSettings, all_frames: bool
) -> tuple[str, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Render the result into the temp folder; also its first or all frames as IMAGE and MASK, and all frames' small MASK.

    generated: (output frame, face (3, r, r) in [-1, 1]), rising.
    """
    path = temporary_file(".mkv" if settings.codec == LOSSLESS_CODEC else ".mp4")
    pictures, masks, small_masks = [], [], []
    timeline, score = tokens.timeline, result_score()

    def keep(index: int, composited: Composited) -> None:
        score.observe(index, replace(composited, seconds=float(timeline.times[index])))
        small_masks.append(small_mask(composited))
        if all_frames or not pictures:
            picture, mask = picture_and_mask(composited)
            pictures.append(picture)
            masks.append(mask)

    started = time.monotonic()
    with faces.open_reader() as reader:
        frames = composite(reader.frames_at(timeline.source), iter(generated), blend.crops, blend.strength)
        with clip_writer(Path(path), reader.info, timeline, waveform_of(tokens.audio), settings) as writer:
            write_clip(writer, frames, timeline, replace(node_callbacks(), on_frame=keep))
    synced = np.array([bool(mask.any()) for mask in small_masks])
    lines = [result_text(synced, timeline, time.monotonic() - started), result_sentence(score, tokens)]
    lines += [*blend.notes, *([LOSSLESS_SAVED] if settings.codec == LOSSLESS_CODEC else [])]
    show_in_node("\n".join(lines))
    return path, torch.stack(pictures), torch.stack(masks), torch.stack(small_masks)


def result_text(synced: np.ndarray, timeline, seconds: float) -> str:
    """A line on what was made. synced: (frames,) bool. seconds: that pasting and writing took."""
    untouched = int((~synced).sum())
    where = f" ({listed(stretches_of(~synced, timeline.times, timeline.seconds))})" if untouched else ""
    each = seconds / max(len(synced), 1)
    return f"{len(synced)} frames: {len(synced) - untouched} synced, {untouched} untouched{where}; {each:.2f} s a frame"


def small_mask(composited: Composited) -> torch.Tensor:
    """The generated face's share (h, w), 64 pixels at its longer side: 9 KB a frame, where a whole one takes 8 MB.

    Every pixel is the greatest share in its part of the frame, so that the greatest of all is the frame's own.
    """
    height, width = composited.frame.picture.height, composited.frame.picture.width
    scale = SMALL_MASK_SIDE / max(height, width)
    rows, columns = max(round(height * scale), 1), max(round(width * scale), 1)
    if not composited.synced:
        return torch.zeros(rows, columns)
    return F.adaptive_max_pool2d(whole_mask(composited)[None], (rows, columns))[0]


def whole_mask(composited: Composited) -> torch.Tensor:
    """The generated face's share in every pixel of the frame: (H, W) float32 in 0..1."""
    mask = torch.zeros(composited.frame.rgb().shape[:2])
    if composited.synced:
        mask[composited.region.slices] = torch.from_numpy(composited.region.alpha)
    return mask


def picture_and_mask(composited: Composited) -> tuple[torch.Tensor, torch.Tensor]:
    """(H, W, 3) and (H, W) float32 in 0..1: the finished frame, and the generated face's share in it."""
    picture = torch.from_numpy(composited.frame.rgb().copy())
    if composited.synced:
        picture[composited.region.slices] = torch.from_numpy(composited.region.pixels)
    return picture.float() / 255, whole_mask(composited)
