"""Finding, cropping and pasting faces beside the reference's align and restore, frame by frame in one process."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import LatentSyncError
from ..faces import FaceNets, FaceTrack, MouthMasks, Seam, alignment_matrices, paste_face, track_faces
from ..generators.aligned_faces import AlignedFaces, Alignment
from ..generators.face_latents import pixels_of
from ..media import Frame, VideoReader
from .compare import Comparison
from .reference_modules import opencv, reference_align_restore
from .timing import Duration, PairedTimings, alternate


def compare_faces(
    checkout: Path, video: Path, device: torch.device, frames: int, resolution: int, runs: int
) -> Comparison:
    """Ours with the search for the face and all conversions; the reference's from RGB pictures and known points on.

    The reference runs in float16, its default; the results are compared in float32, on the same points and with its
    own blend. The face itself, mirrored, replaces a generated one. Times are per frame, the difference in grey levels.
    """
    filmed = read_frames(video, frames)
    nets = FaceNets(device)
    track = track_faces(filmed, nets=nets)
    if not track.present.all():
        raise LatentSyncError(f"{video}: not each of the first {frames} frames shows a face; give a clip that does.")
    generated = mirrored_faces(filmed, track, resolution)
    align_restore = reference_align_restore(checkout)
    restorer = align_restore(resolution=resolution, device=str(device))
    pictures = [frame.rgb().copy() for frame in filmed]  # the reference's tensors want to be writable
    timings = alternate(
        lambda: our_faces([replace(frame) for frame in filmed], generated, nets, resolution),
        lambda: [
            reference_face(restorer, picture, points, face)
            for picture, points, face in zip(pictures, track.points, generated, strict=True)
        ],
        runs=runs,
        device=device,
    )
    exact = align_restore(resolution=resolution, device=str(device), dtype=torch.float32)
    difference = largest_difference(exact, pictures, track, generated)
    return Comparison(
        "track, crop, paste / align, restore", per_frame(timings, frames), difference, size=255, unit="grey levels"
    )


def read_frames(video: Path, count: int) -> list[Frame]:
    """The first frames of `video`. Raises LatentSyncError where there are fewer."""
    with VideoReader(video) as reader:
        frames = list(reader.frames(0, count))
    if len(frames) < count:
        raise LatentSyncError(f"{video} has {len(frames)} frames, {count} are to be compared: give a longer clip.")
    return frames


def mirrored_faces(frames: Sequence[Frame], track: FaceTrack, resolution: int) -> list[Tensor]:
    """Every frame's own face, mirrored: (3, r, r) in [-1, 1]."""
    alignment = Alignment(track.matrices(resolution), resolution)
    return [pixels_of([alignment.crop(frame)])[0].flip(-1) for frame in frames]


def our_faces(frames: Sequence[Frame], generated: Sequence[Tensor], nets: FaceNets, resolution: int) -> None:
    """Track the face, then crop it and paste another as a run does."""
    track = track_faces(frames, nets=nets)
    alignment = Alignment(track.matrices(resolution), resolution, antialias=True)
    crops = AlignedFaces(alignment, MouthMasks(resolution, Seam()))
    for frame, face in zip(frames, generated, strict=True):
        crops.crop(replace(frame))
        crops.paste(replace(frame), face)


def reference_face(restorer, image: np.ndarray, points: np.ndarray, face: Tensor) -> np.ndarray:
    """Align, crop and resize, then resize and restore, as the published pipeline does: the frame, uint8 (H, W, 3)."""
    crop, matrix = restorer.align_warp_face(image.copy(), landmarks3=np.round(points), smooth=True)
    cv2 = opencv()
    cv2.resize(crop, tuple(face.shape[1:]), interpolation=cv2.INTER_LANCZOS4)
    resized = F.interpolate(face[None].to(restorer.device), crop.shape[:2], mode="bicubic", antialias=True)[0]
    return restorer.restore_img(image, resized, matrix)


def largest_difference(
    restorer, pictures: Sequence[np.ndarray], track: FaceTrack, generated: Sequence[Tensor]
) -> float:
    """Between pictures restored by the reference and by this project's reference mode, grey levels."""
    resolution = generated[0].shape[-1]
    matrices = alignment_matrices(track.points, resolution, mode="reference")
    found = 0
    for picture, points, matrix, face in zip(pictures, track.points, matrices, generated, strict=True):
        reference = reference_face(restorer, picture, points, face)
        ours = paste_face(picture, face, matrix, resolution)
        found = max(found, int(np.abs(ours.astype(int) - reference.astype(int)).max()))
    return float(found)


def per_frame(timings: PairedTimings, frames: int) -> PairedTimings:
    """The same times, of one frame."""
    ours, reference = (
        tuple(Duration(duration.wall / frames, duration.cpu / frames) for duration in side)
        for side in (timings.ours, timings.reference)
    )
    return PairedTimings(ours, reference, timings.results)
