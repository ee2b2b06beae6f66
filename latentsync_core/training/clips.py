"""Clips made ready once: the same tracker, crops and features as at inference, kept as memory-mapped tensors."""

import hashlib
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..audio import indices_at
from ..clip_plan import Plan, Run, plan_clip
from ..compositing import ignore_frame
from ..errors import LatentSyncError
from ..face_latents import face_of, pixels_of
from ..faces import crop_face, fixed_mask
from ..faces.face_track import stretches
from ..loading import Models
from ..media import VideoReader, probe_audio, read_waveform
from ..progress import CheckCancelled, OnProgress, ignore_progress, never_cancelled
from ..settings import Settings
from ..syncnet.mel import syncnet_mel
from ..voice import hear_voice

log = logging.getLogger(__name__)

FORMAT = "latentsync-clip-1"  # part of the cache's key: raise it when what is stored changes
VIDEOS = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v")
SOUNDS = (".wav", ".flac", ".m4a", ".mp3", ".ogg", ".opus", ".aac")
ENCODED_AT_ONCE = 16  # faces


@dataclass(frozen=True)
class ClipSource:
    """A video and the sound that belongs to it, which may be its own."""

    video: Path
    voice: Path


def find_clips(folder: Path | str) -> list[ClipSource]:
    """Every video of a folder, by name, with the sound file of the same name or its own sound.

    Raises LatentSyncError when there is none.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise LatentSyncError(f"{folder} is no folder; a folder of videos with sound is needed (data.clips).")
    videos = sorted(path for path in folder.iterdir() if path.suffix.lower() in VIDEOS)
    if not videos:
        raise LatentSyncError(f"{folder} holds no video ({', '.join(VIDEOS)}); put talking clips there.")
    beside = ((video, [video.with_suffix(suffix) for suffix in SOUNDS]) for video in videos)
    return [ClipSource(video, next((path for path in paths if path.is_file()), video)) for video, paths in beside]


@dataclass(frozen=True)
class Clip:
    """A prepared clip: one row per frame that shows a face somewhere, stored beside one another in a file.

    path: of the file. runs: stretches [start, stop) with a face in every frame and no cut. frames: how many there are.
    Tensors in the file, F frames: crops (F, r, r, 3) uint8; mean, std, masked_mean, masked_std (F, 4, h, w) float32,
    the posteriors of the crop and of the masked crop; indices (F, 10) into features (T, L, D); times (F,) seconds;
    matrices (F, 2, 3); mel (80, M), the voice as StableSyncNet hears it.
    """

    path: Path
    name: str
    frames: int
    runs: tuple[tuple[int, int], ...]

    @classmethod
    def open(cls, path: Path) -> "Clip":
        """Read what a prepared file says of itself."""
        with safe_open(path, framework="pt") as file:
            runs = file.get_tensor("runs").tolist()
            frames = file.get_slice("crops").get_shape()[0]
            return cls(path, file.metadata()["name"], frames, tuple(tuple(run) for run in runs))

    def read(self, *names: str) -> dict[str, Tensor]:
        """Whole tensors by name."""
        with safe_open(self.path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in names}

    def rows(self, start: int, stop: int, *names: str) -> dict[str, Tensor]:
        """Frames `start` to `stop` (exclusive) of per-frame tensors; nothing else is read from the disk."""
        with safe_open(self.path, framework="pt") as file:
            return {name: file.get_slice(name)[start:stop] for name in names}


def models_digest(models: Models, resolution: int, alignment: str) -> str:
    """Hex digest of all that shapes a prepared clip besides the clip: the VAE, Whisper, resolution and alignment."""
    digest = hashlib.sha256(f"{FORMAT}:{resolution}:{alignment}:".encode())
    for network in (models.codec.autoencoder, models.whisper):
        for name, tensor in sorted(network.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def prepared_path(source: ClipSource, cache: Path, digest: str) -> Path:
    """Where a clip is kept: another file, length or time of change, or another model, gives another name."""
    parts = [digest]
    for path in (source.video, source.voice):
        state = path.stat()
        parts.append(f"{path.name}:{state.st_size}:{state.st_mtime_ns}")
    key = hashlib.sha256("|".join(parts).encode()).hexdigest()[:16]
    return cache / f"{source.video.stem}-{key}.safetensors"


def prepare_clips(
    sources: Sequence[ClipSource],
    cache: Path,
    models: Models,
    resolution: int,
    alignment: str = "smooth",
    *,
    on_progress: OnProgress = ignore_progress,
    check_cancelled: CheckCancelled = never_cancelled,
) -> list[Clip]:
    """Track, crop, encode and listen to every clip that is not in the cache yet; progress counts clips.

    A clip that cannot be used (no face, no sound, damaged) costs a warning that names it. Raises LatentSyncError when
    none is left.
    """
    cache.mkdir(parents=True, exist_ok=True)
    digest = models_digest(models, resolution, alignment)
    clips = []
    for done, source in enumerate(sources, 1):
        path = prepared_path(source, cache, digest)
        try:
            if not path.is_file():
                write_clip(path, source, prepare_clip(source, models, resolution, alignment, check_cancelled))
            clips.append(Clip.open(path))
        except LatentSyncError as error:
            log.warning("Clip left out: %s", error)
        on_progress(done, len(sources))
    if not clips:
        raise LatentSyncError(f"None of the {len(sources)} clips can be used; the warnings above say why of each.")
    return clips


def prepare_clip(
    source: ClipSource,
    models: Models,
    resolution: int,
    alignment: str = "smooth",
    check_cancelled: CheckCancelled = never_cancelled,
) -> dict[str, Tensor]:
    """The tensors of `Clip` for one clip, by the pipeline's own stages."""
    settings = Settings(length="shortest", extend="none", alignment=alignment)
    watchers = (ignore_progress, check_cancelled, ignore_frame)
    with VideoReader(source.video) as reader:
        voice = probe_audio(source.voice)
        heard = hear_voice(voice, models.whisper, settings, check_cancelled=check_cancelled)
        plan = plan_clip(Run(source.video, voice, models, settings, resolution, *watchers), reader, heard)
        present = plan.track.present[list(plan.timeline.source)]
        runs = stretches(present, tuple(plan.timeline.breaks(plan.track.cuts)))
        crops, posteriors = encode_crops(reader, plan, present, models, resolution, settings.antialias)
    times = plan.timeline.times
    return {
        "crops": crops,
        **posteriors,
        "features": heard.features,
        "indices": indices_at(len(heard.features), times),
        "times": torch.tensor([float(time) for time in times], dtype=torch.float64),
        "matrices": torch.from_numpy(plan.matrices[list(plan.timeline.source)]),
        "runs": torch.tensor(runs, dtype=torch.int64).reshape(-1, 2),
        "mel": syncnet_mel(torch.from_numpy(read_waveform(voice.path, track=voice.track))),
    }


def encode_crops(
    reader: VideoReader, plan: Plan, present: np.ndarray, models: Models, resolution: int, antialias: bool
) -> tuple[Tensor, dict[str, Tensor]]:
    """Crops (F, r, r, 3) uint8 and the posteriors of the whole and the masked crop; zeros where there is no face."""
    mask, side = fixed_mask(resolution), resolution // 8
    source = plan.timeline.source
    crops = torch.zeros(len(source), resolution, resolution, 3, dtype=torch.uint8)
    names = ("mean", "std", "masked_mean", "masked_std")
    posteriors = {name: torch.zeros(len(source), 4, side, side) for name in names}
    shown = np.flatnonzero(present)
    for frame, position in zip(reader.frames_at(source[i] for i in shown), shown, strict=True):
        image, matrix, _, _ = face_of(frame, plan.matrices[source[position]], resolution)
        crops[position] = torch.from_numpy(crop_face(image, matrix, resolution, antialias))
    for part in torch.from_numpy(shown).split(ENCODED_AT_ONCE):
        pixels = pixels_of(crops[part].numpy())
        whole, masked = models.codec.encode(pixels), models.codec.encode(pixels * mask)
        for name, values in zip(names, (whole.mean, whole.std, masked.mean, masked.std), strict=True):
            posteriors[name][part] = values.float().cpu()
    return crops, posteriors


def write_clip(path: Path, source: ClipSource, tensors: dict[str, Tensor]) -> None:
    """Write a prepared clip under a name of its own and rename it when complete."""
    partial = path.with_name(f".{path.stem}-{os.getpid()}.partial")
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, partial, {"name": source.video.stem})
    os.replace(partial, path)
