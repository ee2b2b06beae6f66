"""Render clips from a seeded recipe: synthetic speech, its mouth motion, random head motion, eyes, light and camera."""

import wave
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from ...audio import SAMPLE_RATE_HZ
from ...audio.espeak import Speech
from ...errors import LatentSyncError
from ...media import EncodeSettings, ImageReader, VideoWriter
from .animate import Pose, render, true_opening
from .portrait import Portrait, load_portrait
from .scripts import seeded_speech
from .timed_voices import random_excerpt, timed_voices
from .visemes import MouthMotion, mouth_motion
from .voice_channel import through_channel

FPS = 25
BATCH = 8  # frames rendered at once: their coordinates fit the processor's cache
# Standard deviations over a clip, and the seconds within which they change.
MOTION_NOISE = {
    "yaw": (2.2, 0.5),
    "pitch": (1.6, 0.5),
    "roll": (0.03, 0.7),
    "pan_x": (2.0, 1.2),
    "pan_y": (1.5, 1.2),
    "camera_roll": (0.008, 1.2),
    "light": (0.03, 1.0),
    "wall": (0.02, 1.0),
}
# Constant over a clip: standard deviations between clips.
CLIP_NOISE = {
    "zoom": 0.05, "red": 0.05, "green": 0.05, "blue": 0.05, "contrast": 0.06, "light": 0.06, "wall": 0.05, "pan_x": 3.0,
    "pan_y": 3.0,
}  # fmt: skip
GAIN = 0.08  # of all three colours together
BLINKS_PER_SECOND = 0.3
BLINK_SECONDS = 0.07  # standard deviation of a blink's Gaussian in time
ARTICULATION = (0.85, 1.15)


@dataclass(frozen=True)
class ClipRecipe:
    """seed and index determine a clip; held_out: with voices and words that training never uses.

    voices: folder of waves with timed phones to take excerpts from, None = espeak-ng speaks. through_channel: heard
    through random microphones, rooms and noise.
    """

    seed: int = 1
    seconds: float = 6.0
    size: int = 256  # pixels, both sides
    held_out: bool = False
    voices: Path | None = None
    through_channel: bool = False

    def __post_init__(self) -> None:
        if self.held_out and self.voices is not None:
            raise LatentSyncError(
                f"Held-out clips were asked for with the voices of {self.voices}; which of them training uses is not "
                f"known: leave one of the two out."
            )


@dataclass(frozen=True, eq=False)
class SyntheticClip:
    """frames (F, size, size, 3) uint8 RGB at 25 per second; speech: waveform at 16 kHz and its phonemes; voice.

    motion: the mouth's parameters; opening (F,) float32: the drawn lip gap, in the unit of `mouth_opening`.
    """

    frames: np.ndarray
    speech: Speech
    voice: str
    motion: MouthMotion
    opening: np.ndarray


def synthetic_clips(recipe: ClipRecipe, count: int, first: int = 0) -> Iterator[SyntheticClip]:
    """Render clips number `first` to `first + count` of a recipe."""
    portrait = load_portrait()
    for index in range(first, first + count):
        yield synthetic_clip(portrait, recipe, index)


def synthetic_clip(portrait: Portrait, recipe: ClipRecipe, index: int) -> SyntheticClip:
    """Clip number `index` of a recipe; it does not depend on the others."""
    rng = np.random.default_rng([recipe.seed, index, recipe.held_out])
    if recipe.voices is None:
        speech, voice = seeded_speech(recipe.seconds, rng, recipe.held_out)
    else:
        speech, voice = random_excerpt(timed_voices(recipe.voices), recipe.seconds, rng)
    motion = mouth_motion(speech, round(recipe.seconds * FPS), FPS, float(rng.uniform(*ARTICULATION)))
    pose = random_pose(motion, rng)
    if recipe.through_channel:  # which the picture does not depend on
        channel = np.random.default_rng([recipe.seed, index, recipe.held_out, 1])
        speech = replace(speech, waveform=through_channel(speech.waveform, channel))
    return SyntheticClip(
        frames=draw_frames(portrait, pose, recipe.size),
        speech=speech,
        voice=voice,
        motion=motion,
        opening=true_opening(pose).numpy(),
    )


def draw_frames(portrait: Portrait, pose: Pose, size: int) -> np.ndarray:
    """Render a pose of any length: (frames, size, size, 3) uint8."""
    parts = [render(portrait, pose[i : i + BATCH], size).numpy() for i in range(0, len(pose), BATCH)]
    return np.concatenate(parts)


def random_pose(motion: MouthMotion, rng: np.random.Generator) -> Pose:
    """The pose of a mouth's motion with random head motion, blinks, camera and light."""
    frames = len(motion)
    moved = {name: smooth_noise(frames, deviation, seconds, rng) for name, (deviation, seconds) in MOTION_NOISE.items()}
    gain = rng.normal(0, GAIN)
    for name, deviation in CLIP_NOISE.items():
        rest = 1.0 + (gain if name in ("red", "green", "blue") else 0.0) if name not in MOTION_NOISE else 0.0
        moved[name] = moved.get(name, 0.0) + np.full(frames, rest + rng.normal(0, deviation), np.float32)
    width = np.clip(motion.width + rng.normal(0, 0.3), -1, 1)
    mouth = {"opening": motion.opening, "width": width, "rounding": motion.rounding}
    tensors = {name: torch.as_tensor(values, dtype=torch.float32) for name, values in {**moved, **mouth}.items()}
    return Pose.resting(frames, blink=_blinks(frames, rng), **tensors)


def smooth_noise(frames: int, deviation: float, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Low-pass filtered Gaussian noise, (frames,), of the given standard deviation on average over clips."""
    sigma = seconds * FPS
    margin = int(4 * sigma)
    noise = gaussian_filter1d(rng.standard_normal(frames + 2 * margin), sigma)[margin : margin + frames]
    return deviation * noise * np.sqrt(2 * np.sqrt(np.pi) * sigma)


def _blinks(frames: int, rng: np.random.Generator) -> Tensor:
    """(frames,) 0..1."""
    instants = np.arange(frames) / FPS
    blink = np.zeros(frames)
    for centre in rng.uniform(0, frames / FPS, rng.poisson(BLINKS_PER_SECOND * frames / FPS)):
        blink = np.maximum(blink, np.exp(-0.5 * ((instants - centre) / BLINK_SECONDS) ** 2))
    return torch.from_numpy(np.where(blink < 0.02, 0.0, blink)).float()


def write_clip(clip: SyntheticClip, video: Path | str, quality: int = 16) -> None:
    """Write `video` (.mp4, H.264), the same name .wav with the voice, and .npz with opening and mouth parameters.

    quality: x264's constant rate factor.
    """
    video = Path(video)
    voice = video.with_suffix(".wav")
    write_wave(clip.speech.waveform, voice)
    form = ImageReader(torch.zeros(1).expand(*clip.frames.shape), Fraction(FPS)).info
    with VideoWriter(video, form, EncodeSettings(crf=quality), audio=voice, overwrite=True) as writer:
        for frame in clip.frames:
            writer.write(av.VideoFrame.from_ndarray(frame, format="rgb24"))
    np.savez_compressed(
        video.with_suffix(".npz"), opening=clip.opening, mouth=clip.motion.parameters(), voice=clip.voice
    )


def write_wave(waveform: np.ndarray, path: Path) -> None:
    """(samples,) float32 at 16 kHz -> 16-bit mono WAV."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE_HZ)
        file.writeframes((np.clip(waveform, -1, 1) * 32767).round().astype("<i2").tobytes())
