"""How visible window borders are in time, and the blend edge of the generated mouth in space."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..audio import AudioTokens, extract_features, indices_at
from ..diffusion import Guidance, SamplerSettings, plan_windows, sample_clip, shared_noise, window_groups
from ..faces import LATENT_STRIDE, FaceTrack, Seam, crop_face, mouth_masks, mouth_share, track_faces
from ..generators.aligned_faces import AlignedFaces, Alignment
from ..generators.face_crops import face_of
from ..generators.face_latents import FaceLatents, batches_by_window, encode_faces, generated_faces, pixels_of
from ..generators.latentsync.conditioning import ClipConditioning
from ..media import Frame, VideoReader, read_waveform
from ..models.loading import Models

LEVELS = 127.5  # grey levels per unit of a face in [-1, 1]
EDGE_ALPHA = (0.02, 0.98)  # a pixel with an alpha between these is on the blend edge
COLOUR_OFFSET = (8.0, 4.0, -6.0)  # grey levels of R, G and B by which the test face is off on average
COLOUR_GRADIENT = 5.0  # grey levels more at its left border, less at its right


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
        """1 where window borders are invisible."""
        return self.border / self.inside


@dataclass(frozen=True)
class EdgeGradient:
    """How visible the blend edge is, means over frames.

    edge: its settings. output, source: gradient of R, G and B across the edge, grey levels per pixel. step: the mean of
    their difference all along the edge, 0 where none was added. offset: grey levels by which the pasted mouth's mean
    colour differs from the source's; flicker: by which that changes from one frame to the next.
    """

    edge: Seam
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
        """The frames that show a face."""
        with VideoReader(self.video) as reader:
            yield from reader.frames_at(np.flatnonzero(self.track.present).tolist())


def open_video(video: Path, frames: int, resolution: int) -> Clip:
    """Track the face through the first `frames` frames. Raises LatentSyncError as the reader and the tracker do."""
    with VideoReader(video) as reader:
        track = track_faces(frame.rgb() for frame in reader.frames(0, frames))
        times = reader.times[: len(track)]
    matrices = track.matrices(resolution)
    return Clip(video=video, track=track, matrices=matrices, times=times, resolution=resolution)


def measure_borders(
    clip: Clip, voice: Path, models: Models, steps: int, overlaps: Sequence[int]
) -> Iterator[BorderEnergy]:
    """Generate the clip once for every overlap and compare how the mouth changes at window borders and inside.

    Args:
        clip: the source.
        voice: audio file.
        models: the networks.
        steps: denoising steps.
        overlaps: frames that windows share, for each run.
    """
    features = extract_features(read_waveform(voice), models.whisper)
    tokens = AudioTokens(features, indices_at(len(features), clip.times))
    generator = torch.Generator().manual_seed(0)
    noise = shared_noise(clip.resolution // LATENT_STRIDE, generator)
    faces = encode(clip, models, generator)
    conditioning = ClipConditioning(faces, tokens, range(len(clip.track)))
    for overlap in overlaps:
        windows = plan_windows(clip.track.present.tolist(), clip.track.cuts, overlap=overlap)
        settings = SamplerSettings(steps=steps, guidance=Guidance(), device=models.device)
        groups = window_groups(windows)
        latents = sample_clip(models.unet, noise, conditioning, groups, settings, frames=len(clip.track))
        changes = frame_changes(generated_faces(latents, windows, models.codec), clip)
        edges = {edge for span in windows for edge in (span.start, span.stop)}
        border = [change for frame, change in changes.items() if frame in edges]
        inside = [change for frame, change in changes.items() if frame not in edges]
        yield BorderEnergy(overlap, len(windows), float(np.mean(border)), float(np.mean(inside)))


def encode(clip: Clip, models: Models, generator: torch.Generator) -> FaceLatents:
    """The latents of every face of the clip."""
    windows = plan_windows(clip.track.present.tolist(), clip.track.cuts)
    batches = batches_by_window(windows, range(len(clip.track)))
    alignment = Alignment(clip.matrices, clip.resolution, antialias=True)
    return encode_faces(alignment.crops(clip.frames()), batches, models.codec, generator)


def frame_changes(faces: Iterator[tuple[int, Tensor]], clip: Clip) -> dict[int, float]:
    """Frame -> mean change of the generated part since the previous frame in the same shot, grey levels."""
    shown = mouth_share(clip.resolution) > 0.5
    changes: dict[int, float] = {}
    before: tuple[int, Tensor] | None = None
    for frame, face in faces:
        mouth = face.float().cpu()[:, shown]
        if before is not None and before[0] == frame - 1 and frame not in clip.track.cuts:
            changes[frame] = float((mouth - before[1]).abs().mean()) * LEVELS
        before = frame, mouth
    return changes


def measure_blend_edges(clip: Clip, edges: Sequence[Seam]) -> list[EdgeGradient]:
    """Paste a test face into every frame with every blend edge and compare its gradient with the source's own.

    The test face is the source's own face with colours off by a known amount, as a VAE may shift them, so that only the
    blend edge is visible.
    """
    alignment = Alignment(clip.matrices, clip.resolution, antialias=True)
    crops = [AlignedFaces(alignment, mouth_masks(clip.track, clip.resolution, edge)) for edge in edges]
    found: list[list[tuple[float, ...]]] = [[] for _ in edges]
    for frame in clip.frames():
        matrix = clip.matrices[frame.index]
        image, local, left, top = face_of(frame, matrix, clip.resolution)
        test_face = colour_shifted(pixels_of([crop_face(image, local, clip.resolution, True)])[0])
        for rows, faces in zip(found, crops, strict=True):
            region = faces.paste(frame, test_face).region
            y, x = region.top - top, region.left - left
            under = image[y : y + region.alpha.shape[0], x : x + region.alpha.shape[1]]
            rows.append(edge_gradients(under, region.pixels, region.alpha))
    return [mean_gradients(edge, np.array(rows)) for edge, rows in zip(edges, found, strict=True)]


def colour_shifted(face: Tensor) -> Tensor:
    """A face (3, r, r) in [-1, 1] with colours off by COLOUR_OFFSET, and by COLOUR_GRADIENT from left to right."""
    gradient = torch.linspace(COLOUR_GRADIENT, -COLOUR_GRADIENT, face.shape[-1])
    return face + (torch.tensor(COLOUR_OFFSET)[:, None, None] + gradient) / LEVELS


def edge_gradients(source: np.ndarray, output: np.ndarray, alpha: np.ndarray) -> tuple[float, ...]:
    """Gradients across the edge of `alpha` (h, w): output, source, their difference; the mouth's offset in RGB."""
    across = np.stack(np.gradient(alpha))  # (2, h, w)
    across /= np.maximum(np.linalg.norm(across, axis=0), 1e-6)
    band = (alpha > EDGE_ALPHA[0]) & (alpha < EDGE_ALPHA[1])

    def mean_gradient(picture: np.ndarray, common: bool = False) -> float:
        rows, columns = np.gradient(picture, axis=(0, 1))  # (h, w, 3)
        found = (rows * across[0, ..., None] + columns * across[1, ..., None])[band]  # (pixels, 3)
        return float(np.abs(found.mean(0) if common else found).mean())

    output, source = output.astype(np.float32), source.astype(np.float32)
    difference = output - source
    offset = difference[alpha > 0.5].mean(0).tolist()
    return mean_gradient(output), mean_gradient(source), mean_gradient(difference, common=True), *offset


def mean_gradients(edge: Seam, rows: np.ndarray) -> EdgeGradient:
    """Rows of `edge_gradients` (frames, 6), as means over the frames."""
    output, source, step = rows[:, :3].mean(0).tolist()
    colours = rows[:, 3:]
    flicker = float(np.abs(np.diff(colours, axis=0)).mean()) if len(rows) > 1 else 0.0
    offset = float(np.abs(colours).mean())
    return EdgeGradient(edge=edge, output=output, source=source, step=step, offset=offset, flicker=flicker)
