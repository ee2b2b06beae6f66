"""VIDEO in and out as streams: files are read where they lie, results are rendered once into the temp folder."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from comfy_api.latest import InputImpl
from PIL import Image

from ...latentsync_core.audio import check_silence
from ...latentsync_core.errors import LatentSyncError
from ...latentsync_core.faces import FadeLimits, MouthMasks, effect_strength, why_unshown
from ...latentsync_core.generators.aligned_faces import AlignedFaces, Alignment
from ...latentsync_core.generators.face_crops import Composited
from ...latentsync_core.media import (
    EncodeSettings,
    ImageReader,
    VideoReader,
    probe_audio,
    read_channels,
    waveform_blocks,
)
from ...latentsync_core.pipeline.composite import clip_writer, composite, write_clip
from ..types import ClipTokens, TrackedFaces
from .folders import temporary_file
from .memory import node_callbacks

SMALL_MASK_SIDE = 64  # pixels

log = logging.getLogger(__name__)


def open_clip(video, images, images_fps: Fraction) -> Callable:
    """What opens the frames of a VIDEO, or of IMAGE frames, as a reader.

    A VIDEO with edits still pending (trimmed or cropped on newer hosts) is written out once as it should look.
    """
    if video is None and images is None:
        raise LatentSyncError("Face Track has neither a video nor images; connect one of the two.")
    if video is not None and images is not None:
        raise LatentSyncError("Face Track has both a video and images; disconnect one of the two.")
    if images is not None:
        return partial(ImageReader, images, images_fps)
    return partial(VideoReader, video_path(video))


def video_path(video) -> Path:
    """The file behind a VIDEO; one in memory, or with edits pending, is written to the temp folder."""
    if not any(trim_window(video)) and not getattr(video, "has_pending_frame_edits", lambda: False)():
        return source_path(video)
    path = temporary_file(".mp4")
    video.save_to(str(path))
    return path


def source_path(video) -> Path:
    """The file behind a VIDEO as it was before any edits; one in memory is written to the temp folder."""
    source = video.get_stream_source()
    if isinstance(source, str):
        return Path(source)
    path = temporary_file(".mp4")
    path.write_bytes(source.getvalue())
    return path


def trim_window(video) -> tuple[float, float]:
    """Start and duration in seconds of a VIDEO that newer hosts have trimmed; zeros for one that is whole."""
    return getattr(video, "get_active_trim_window", lambda: (0.0, 0.0))()


def exact_seconds(seconds: float) -> Fraction:
    """What a user wrote as a decimal: 0.4, not the float a little above it, which would miss the frame shown then."""
    return Fraction(seconds).limit_denominator(1_000_000)


def video_sound(video, track: str) -> dict:
    """The sound of a VIDEO as AUDIO, from its first picture on: later sound follows silence, earlier sound is cut.

    track: the audio track's number or language; "" for the default one. Of a trimmed VIDEO, the part that is shown.
    """
    path, (begin, duration) = source_path(video), map(exact_seconds, trim_window(video))
    info = probe_audio(path, track.strip() or None, path)
    waveform = read_channels(info)  # (channels, samples)
    if begin or duration:
        with VideoReader(path) as reader:
            next(reader.frames(), None)
            shown = next((time for time in reader.scan_times() if time + reader.start >= begin), Fraction(0))
        first = round(shown * info.sample_rate)
        stop = first + round(duration * info.sample_rate) if duration else None
        waveform = waveform[:, first:stop]
    return {"waveform": torch.from_numpy(waveform.copy())[None], "sample_rate": info.sample_rate}


def image_of(picture: Image.Image) -> torch.Tensor:
    """A picture as IMAGE: (1, H, W, 3) float32 in 0..1."""
    return torch.from_numpy(np.array(picture.convert("RGB")))[None].float() / 255


def video_from_file(path: Path):
    """A VIDEO that Save Video copies without decoding."""
    return InputImpl.VideoFromFile(str(path))


@dataclass(frozen=True)
class Blend:
    """How a clip's generated faces go into its frames: into which crops, and how much of each output frame's mouth.

    strength: (frames,) in 0..1.
    """

    crops: AlignedFaces
    strength: np.ndarray


def clip_blend(faces: TrackedFaces, tokens: ClipTokens, blend: str, masks: MouthMasks, fade: FadeLimits) -> Blend:
    """Faded by pose and, where the clip asks for it, in silence; the reference's blend never fades."""
    strength = effect_strength(faces.track, fade)[list(tokens.timeline.source)]
    if blend == "mouth" and not strength.any():
        log.warning("A face is found, but no frame of it can be synced: %s", why_unshown(faces.track, fade))
    if tokens.shown is not None:
        check_silence("keep", blend)
        strength = strength * tokens.shown
    resolution = masks.resolution
    alignment = Alignment(faces.matrices(resolution), resolution, antialias=faces.alignment != "reference")
    return Blend(AlignedFaces(alignment, masks, blend), strength if blend == "mouth" else np.ones_like(strength))


def mask_pictures(mask: torch.Tensor | None) -> np.ndarray | None:
    """A MASK (1 or frames, H, W) as the library takes it; None stays None."""
    return None if mask is None else mask.float().cpu().numpy()


def blend_to_file(
    faces: TrackedFaces, tokens: ClipTokens, generated, blend: Blend, settings: EncodeSettings, all_frames: bool
) -> tuple[Path, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Render the result into the temp folder; also its first or all frames as IMAGE and MASK, and all frames' small MASK.

    generated: (output frame, face (3, r, r) in [-1, 1]), rising.
    """
    path = temporary_file(".mkv" if settings.codec == "ffv1" else ".mp4")
    pictures, masks, small_masks = [], [], []

    def keep(index: int, composited: Composited) -> None:
        small_masks.append(small_mask(composited))
        if all_frames or not pictures:
            picture, mask = picture_and_mask(composited)
            pictures.append(picture)
            masks.append(mask)

    waveform, rate = tokens.audio["waveform"][0].float().cpu().numpy(), int(tokens.audio["sample_rate"])
    timeline = tokens.timeline
    with faces.open_reader() as reader:
        frames = composite(reader.frames_at(timeline.source), iter(generated), blend.crops, blend.strength)
        with clip_writer(path, reader.info, timeline, waveform_blocks(waveform, rate), settings) as writer:
            write_clip(writer, frames, timeline, replace(node_callbacks(), on_frame=keep))
    return path, torch.stack(pictures), torch.stack(masks), torch.stack(small_masks)


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
