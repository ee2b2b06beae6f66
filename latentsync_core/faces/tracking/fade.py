"""The share of the generated mouth in each frame: lower in poor conditions, eased where the face is lost."""

import numpy as np

from ...options import FadeLimits
from ..face_track import FaceState, FaceTrack
from .occlusion import lips_in_view

LEFT_SIDE, RIGHT_SIDE, FOREHEAD, CHIN = 234, 454, 10, 152  # points of the face mesh
FADE_DEGREES = 15.0  # of head turn over which the effect goes from full to none
SMALL_FACE = 32  # pixels across the mesh; below it the mesh is rarely accurate at the lips
MOUTHLESS_SCORE, SURE_SCORE = 0.5, 0.9  # mesh presence: below the first nothing is shown, above the second all


def effect_strength(track: FaceTrack, limits: FadeLimits | None = None) -> np.ndarray:
    """Share of the generated mouth by source frame: (N,) float32 in 0..1, 0 where there is no face."""
    limits = limits or FadeLimits()
    yaw, pitch = head_angles(track.mesh)
    strength = smooth_step((limits.yaw + FADE_DEGREES - np.abs(yaw)) / FADE_DEGREES)
    strength *= smooth_step((limits.pitch + FADE_DEGREES - np.abs(pitch)) / FADE_DEGREES)
    detected = track.states == FaceState.DETECTED
    # An interpolated frame's score is that of a face not found; it is judged by its neighbours' positions instead.
    sure = smooth_step((track.scores - MOUTHLESS_SCORE) / (SURE_SCORE - MOUTHLESS_SCORE))
    strength *= np.where(detected, sure, 1.0)
    strength *= smooth_step(lips_in_view(track.lip_shifts, track.runs()))
    strength = np.where(track.present, np.nan_to_num(strength), 0.0)
    return (strength * easing(track, limits.ease)).astype(np.float32)


def why_unshown(track: FaceTrack, limits: FadeLimits | None = None) -> str:
    """Why effect_strength is 0 in every frame with a face, for the end of a sentence."""
    limits, frames = limits or FadeLimits(), track.present
    width = float(np.median(track.boxes[frames, 2] - track.boxes[frames, 0]))
    yaw, pitch = (np.nan_to_num(np.abs(angle[frames])) for angle in head_angles(track.mesh))
    score = float(np.nan_to_num(track.scores[frames]).max())
    if width < SMALL_FACE:
        return f"it is only about {width:.0f} pixels wide, too small for its mouth to be made out"
    if score <= MOUTHLESS_SCORE:
        return f"the mesh is not sure enough of it (score {score:.2f}, more than {MOUTHLESS_SCORE:.2f} is needed)"
    if yaw.min() >= limits.yaw + FADE_DEGREES:
        return f"it is turned {yaw.min():.0f} degrees to the side or more"
    if pitch.min() >= limits.pitch + FADE_DEGREES:
        return f"it is turned {pitch.min():.0f} degrees up or down or more"
    if not lips_in_view(track.lip_shifts, track.runs())[frames].any():
        return "its mouth cannot be made out, something seems to cover it"
    return "it is never seen well enough"


def head_angles(mesh: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Yaw and pitch in degrees of meshes (N, 468, 3): 0 faces the camera; NaN where there is no face."""
    across, down = mesh[:, RIGHT_SIDE] - mesh[:, LEFT_SIDE], mesh[:, CHIN] - mesh[:, FOREHEAD]  # (N, 3)
    return tuple(np.degrees(np.arctan2(v[:, 2], np.hypot(v[:, 0], v[:, 1]))) for v in (across, down))


def easing(track: FaceTrack, frames: int) -> np.ndarray:
    """(N,) in 0..1: rises over `frames` frames after a gap in the face and falls over as many before one."""
    ramp = np.ones(len(track))
    for start, stop in track.runs():
        place = np.arange(stop - start)
        if start > 0 and start not in track.cuts:
            ramp[start:stop] = np.minimum(ramp[start:stop], (place + 1) / (frames + 1))
        if stop < len(track) and stop not in track.cuts:
            ramp[start:stop] = np.minimum(ramp[start:stop], (place[::-1] + 1) / (frames + 1))
    return smooth_step(ramp)


def smooth_step(x: np.ndarray) -> np.ndarray:
    """Smoothstep: 0 up to 0, 1 from 1 on, a cubic with continuous slope between them."""
    x = np.clip(x, 0.0, 1.0)
    return x * x * (3 - 2 * x)
