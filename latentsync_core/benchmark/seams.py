"""How visible the joints are: between windows in time, and between the generated mouth and its frame in space."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..audio import AudioTokens, extract_features, indices_at
from ..diffusion import Guidance, plan_windows, sample_clip, shared_noise, window_groups
from ..faces import LATENT_STRIDE, FaceTrack, Seam, crop_face, mouth_masks, mouth_share, track_faces
from ..media import Frame, VideoReader, read_waveform
from ..models.loading import Models
from ..pipeline.composite import generated_faces, paste_generated
from ..pipeline.encode import (
    ClipConditioning,
    FaceLatents,
    batches_by_window,
    encode_faces,
    face_of,
    pixels_of,
)

LEVELS = 127.5  # grey levels per unit of a face in [-1, 1]
BAND = (0.02, 0.98)  # shares of the generated face between which a pixel lies on the seam
DRIFT = (8.0, 4.0, -6.0)  # grey levels of R, G and B by which the stand-in is off on average
TILT = 5.0  # grey levels more at its left border, less at its right


@dataclass(frozen=True)
class BorderEnergy:
    """How much the generated mouth changes from frame to frame, in mean grey levels.

    overlap: frames that windows shared. windows: how many there were. border: where a window begins or has ended;
    inside: between all other frames.
    """

    overlap: int
    windows: int
    border: float
    inside: float

    @property
    def ratio(self) -> float:
        """1 where nobody could tell where the windows end."""
        return self.border / self.inside


@dataclass(frozen=True)
class SeamGradient:
    """How the mask's edge shows, means over frames.

    output, source: gradient of R, G and B across the edge, grey levels per pixel. step: what their difference has in
    common all along the edge, 0 where none was added. offset: grey levels by which the pasted mouth's mean colour
    differs from the source's; flicker: by which that changes from one frame to the next.
    """

    seam: Seam
    output: float
    source: float
    step: float
    offset: float
    flicker: float


@dataclass(frozen=True)
class Clip:
    """The first frames of a video, tracked and aligned."""

    video: Path
    track: FaceTrack
    matrices: np.ndarray
    times: tuple
    resolution: int

    def frames(self) -> Iterator[Frame]:
        """Those that show a face."""
        with VideoReader(self.video) as reader:
            yield from reader.frames_at(np.flatnonzero(self.track.present).tolist())


def open_video(video: Path, frames: int, resolution: int) -> Clip:
    """Track the face through the first `frames` frames. Raises LatentSyncError as the reader and the tracker do."""
    with VideoReader(video) as reader:
        track = track_faces(frame.rgb() for frame in reader.frames(0, frames))
        times = reader.times[: len(track)]
    return Clip(video, track, track.matrices(resolution), times, resolution)


def measure_borders(
    clip: Clip, voice: Path, models: Models, steps: int, overlaps: Sequence[int]
) -> Iterator[BorderEnergy]:
    """Generate the clip once for every overlap and compare how the mouth changes at windows' borders and inside."""
    features = extract_features(read_waveform(voice), models.whisper)
    tokens = AudioTokens(features, indices_at(len(features), clip.times))
    generator = torch.Generator().manual_seed(0)
    noise = shared_noise(clip.resolution // LATENT_STRIDE, generator)
    faces = encode(clip, models, generator)
    conditioning = ClipConditioning(faces, tokens, range(len(clip.track)))
    for overlap in overlaps:
        windows = plan_windows(clip.track.present.tolist(), clip.track.cuts, overlap=overlap)
        given = (noise, conditioning, len(clip.track), window_groups(windows), steps, Guidance())
        latents = sample_clip(models.unet, *given, device=models.device)
        changes = frame_changes(generated_faces(latents, windows, models.codec), clip)
        edges = {edge for span in windows for edge in (span.start, span.stop)}
        border = [change for frame, change in changes.items() if frame in edges]
        inside = [change for frame, change in changes.items() if frame not in edges]
        yield BorderEnergy(overlap, len(windows), float(np.mean(border)), float(np.mean(inside)))


def encode(clip: Clip, models: Models, generator: torch.Generator) -> FaceLatents:
    """The latents of every face of the clip."""
    windows = plan_windows(clip.track.present.tolist(), clip.track.cuts)
    batches = batches_by_window(windows, range(len(clip.track)))
    return encode_faces(clip.frames(), batches, clip.matrices, clip.resolution, models.codec, generator, antialias=True)


def frame_changes(faces: Iterator[tuple[int, Tensor]], clip: Clip) -> dict[int, float]:
    """Frame -> mean change of the redrawn part since the frame before it in the same shot, grey levels."""
    shown = mouth_share(clip.resolution) > 0.5
    changes: dict[int, float] = {}
    before: tuple[int, Tensor] | None = None
    for frame, face in faces:
        mouth = face.float().cpu()[:, shown]
        if before is not None and before[0] == frame - 1 and frame not in clip.track.cuts:
            changes[frame] = float((mouth - before[1]).abs().mean()) * LEVELS
        before = frame, mouth
    return changes


def measure_seams(clip: Clip, seams: Sequence[Seam]) -> list[SeamGradient]:
    """Paste a stand-in into every frame with every seam and compare the mask's edge with the source's own gradient.

    The stand-in is the source's own face with colours that are off by a known amount, as after a VAE that drifts:
    what shows then is the seam alone.
    """
    masks = [mouth_masks(clip.track, clip.resolution, seam) for seam in seams]
    found: list[list[tuple[float, ...]]] = [[] for _ in seams]
    for frame in clip.frames():
        matrix = clip.matrices[frame.index]
        image, local, left, top = face_of(frame, matrix, clip.resolution)
        stand_in = drifted(pixels_of([crop_face(image, local, clip.resolution, True)])[0])
        for rows, mask in zip(found, masks, strict=True):
            region = paste_generated(frame, stand_in, matrix, mask, "mouth", True, 1.0).region
            y, x = region.top - top, region.left - left
            under = image[y : y + region.alpha.shape[0], x : x + region.alpha.shape[1]]
            rows.append(edge_gradients(under, region.pixels, region.alpha))
    return [summed_up(seam, np.array(rows)) for seam, rows in zip(seams, found, strict=True)]


def drifted(face: Tensor) -> Tensor:
    """A face (3, r, r) in [-1, 1] with colours off by DRIFT, and by TILT from left to right."""
    tilt = torch.linspace(TILT, -TILT, face.shape[-1])
    return face + (torch.tensor(DRIFT)[:, None, None] + tilt) / LEVELS


def edge_gradients(source: np.ndarray, output: np.ndarray, alpha: np.ndarray) -> tuple[float, ...]:
    """Gradients across the edge of `alpha` (h, w): output, source, their difference; the mouth's offset in RGB."""
    across = np.stack(np.gradient(alpha))  # (2, h, w)
    across /= np.maximum(np.linalg.norm(across, axis=0), 1e-6)
    band = (alpha > BAND[0]) & (alpha < BAND[1])

    def mean_gradient(picture: np.ndarray, common: bool = False) -> float:
        rows, columns = np.gradient(picture, axis=(0, 1))  # (h, w, 3)
        found = (rows * across[0, ..., None] + columns * across[1, ..., None])[band]  # (pixels, 3)
        return float(np.abs(found.mean(0) if common else found).mean())

    output, source = output.astype(np.float32), source.astype(np.float32)
    difference = output - source
    offset = difference[alpha > 0.5].mean(0).tolist()
    return mean_gradient(output), mean_gradient(source), mean_gradient(difference, common=True), *offset


def summed_up(seam: Seam, rows: np.ndarray) -> SeamGradient:
    """Rows of `edge_gradients` (frames, 6), as means over the frames."""
    output, source, step = rows[:, :3].mean(0).tolist()
    colours = rows[:, 3:]
    flicker = float(np.abs(np.diff(colours, axis=0)).mean()) if len(rows) > 1 else 0.0
    return SeamGradient(seam, output, source, step, float(np.abs(colours).mean()), flicker)
