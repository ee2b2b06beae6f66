"""Clips preprocessed once: the same tracker, crops and features as at inference, cached as memory-mapped tensors."""

import hashlib
import itertools
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..atomic_write import atomic_write
from ..errors import LatentSyncError
from ..faces import LATENT_STRIDE
from ..file_names import utf8_path
from ..generators.face_latents import pixels_of
from ..intervals import runs_of
from ..media import VideoReader, probe_audio
from ..models.loading import Models
from ..models.syncnet.mel import syncnet_mel
from ..pipeline.plan import Inputs, plan_clip, track_clip
from ..pipeline.settings import Settings
from ..pipeline.voice import Voice, encode_voice
from ..progress import CheckCancelled, OnProgress, ignore_progress, never_cancelled
from .generator_inputs import GeneratorInputs, LatentSyncInputs

log = logging.getLogger(__name__)

FORMAT = "latentsync-clip-1"  # part of the cache's key: change it when what is stored changes
VIDEOS = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v")
SOUNDS = (".wav", ".flac", ".m4a", ".mp3", ".ogg", ".opus", ".aac")
SETTINGS = Settings(length="shortest", extend="none")  # every source frame that has sound
ENCODED_AT_ONCE = 16  # faces
POSTERIORS = ("mean", "std", "masked_mean", "masked_std")


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
    """A prepared clip: one row per frame, in three files, so that another VAE or Whisper costs only its own part.

    intervals: [start, stop) with a face in every frame and no cut. frames: how many there are.
    faces, F frames: crops (F, r, r, 3) uint8; indices (F, 10) into the features; times (F,) seconds; where the crops
    are, matrices (F, 2, 3) or boxes (F, 4); mel (80, M), StableSyncNet's spectrogram. The file calls the intervals
    `runs`.
    latents: mean, std, masked_mean, masked_std (F, 4, h, w) float32, posteriors of the crop and of the masked crop.
    voice: features (T, L, D).
    """

    name: str
    faces: Path
    latents: Path
    voice: Path
    frames: int
    intervals: tuple[tuple[int, int], ...]

    @classmethod
    def open(cls, name: str, faces: Path, latents: Path, voice: Path) -> "Clip":
        """A clip whose files exist."""
        with utf8_path(faces) as openable, safe_open(openable, framework="pt") as file:
            intervals, frames = file.get_tensor("runs").tolist(), file.get_slice("crops").get_shape()[0]
        return cls(
            name=name,
            faces=faces,
            latents=latents,
            voice=voice,
            frames=frames,
            intervals=tuple((start, stop) for start, stop in intervals),
        )

    def read(self, *names: str) -> dict[str, Tensor]:
        """Whole tensors by name."""
        return self._read(names, slice(None))

    def rows(self, start: int, stop: int, *names: str) -> dict[str, Tensor]:
        """Frames `start` to `stop` (exclusive) of per-frame tensors; nothing else is read from the disk."""
        return self._read(names, slice(start, stop))

    def _read(self, names: Sequence[str], rows: slice) -> dict[str, Tensor]:
        found = {}
        for path, wanted in itertools.groupby(sorted(names, key=self._file_of), self._file_of):
            with utf8_path(path) as openable, safe_open(openable, framework="pt") as file:
                found.update({name: file.get_slice(name)[rows] for name in wanted})
        return found

    def _file_of(self, name: str) -> Path:
        return self.voice if name == "features" else self.latents if name in POSTERIORS else self.faces


@dataclass(frozen=True)
class Preparation:
    """Everything that a prepared clip depends on besides its source.

    cache: folder. resolution: of the face crop in pixels. alignment: as at inference. whisper, vae: digests of the
    networks' weights. inputs: of the generator in training.
    """

    cache: Path
    models: Models
    resolution: int
    alignment: str
    whisper: str
    vae: str
    inputs: GeneratorInputs = LatentSyncInputs()

    @classmethod
    def of(
        cls,
        cache: Path,
        models: Models,
        resolution: int,
        alignment: str = "smooth",
        inputs: GeneratorInputs | None = None,
    ) -> "Preparation":
        """With the digests of these networks."""
        return cls(
            cache=cache,
            models=models,
            resolution=resolution,
            alignment=alignment,
            whisper=weights_digest(models.whisper),
            vae=weights_digest(models.codec.autoencoder),
            inputs=inputs or LatentSyncInputs(),
        )

    def paths(self, source: ClipSource) -> tuple[Path, Path, Path]:
        """Files for faces, latents and voice, named by the clip's size and modification time and by the networks."""
        own = [FORMAT, *self.inputs.cache_key]
        for path in (source.video, source.voice):
            state = path.stat()
            own.append(f"{path.name}:{state.st_size}:{state.st_mtime_ns}")
        faces = [*own, str(self.resolution), self.alignment]
        parts = {"faces": faces, "latents": [*faces, self.vae], "voice": [*own, self.whisper]}
        keys = {name: hashlib.sha256("|".join(of).encode()).hexdigest()[:16] for name, of in parts.items()}
        return tuple(self.cache / f"{source.video.stem}-{name}-{key}.safetensors" for name, key in keys.items())


def weights_digest(network: torch.nn.Module) -> str:
    """Hex digest of a network's weights."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def prepare_clips(
    sources: Sequence[ClipSource],
    preparation: Preparation,
    *,
    on_progress: OnProgress = ignore_progress,
    check_cancelled: CheckCancelled = never_cancelled,
) -> list[Clip]:
    """Track, crop and encode every clip that is not in the cache yet; progress counts clips.

    A clip that cannot be used (no face, no sound, damaged) is left out with a warning that names it. Raises
    LatentSyncError when none is left.
    """
    preparation.cache.mkdir(parents=True, exist_ok=True)
    clips = []
    for done, source in enumerate(sources, 1):
        try:
            clips.append(prepare_clip(source, preparation, check_cancelled))
        except LatentSyncError as error:
            log.warning("Clip left out: %s", error)
        on_progress(done, len(sources))
    if not clips:
        raise LatentSyncError(f"None of the {len(sources)} clips can be used; the warnings above say why of each.")
    return clips


def prepare_clip(
    source: ClipSource, preparation: Preparation, check_cancelled: CheckCancelled = never_cancelled
) -> Clip:
    """The clip with its three files; those that are missing are computed."""
    faces, latents, voice = preparation.paths(source)
    if not (faces.is_file() and voice.is_file()):
        audio = encode_voice(probe_audio(source.voice, video=source.video), preparation.models.whisper, SETTINGS)
        write_tensors(voice, {"features": audio.features[:]})
        if not faces.is_file():
            write_tensors(faces, track_and_crop(source, audio, preparation, check_cancelled))
    clip = Clip.open(source.video.stem, faces, latents, voice)
    if not latents.is_file():
        crops = clip.read("crops")["crops"]
        write_tensors(latents, encode_crops(crops, clip.intervals, preparation, check_cancelled))
    return clip


def track_and_crop(
    source: ClipSource, audio: Voice, preparation: Preparation, check_cancelled: CheckCancelled
) -> dict[str, Tensor]:
    """The tensors of a clip's faces, computed by the pipeline's own stages."""
    resolution, wanted = preparation.resolution, preparation.inputs
    settings = replace(SETTINGS, alignment=preparation.alignment, resolution=resolution)
    inputs, device = Inputs.probe(source.video, source.voice), preparation.models.device
    tracked = track_clip(inputs.video, audio.seconds, settings, device=device, check_cancelled=check_cancelled)
    plan = plan_clip(inputs, tracked, audio, settings)
    shown = plan.timeline.source
    present = plan.track.present[list(shown)]
    intervals = runs_of(present, plan.timeline.breaks(plan.track.cuts))
    crops = torch.zeros(len(shown), resolution, resolution, 3, dtype=torch.uint8)
    positions = np.flatnonzero(present)
    with VideoReader(source.video) as reader:
        faces = wanted.crops(plan, reader.frames_at(shown[i] for i in positions))
        for (_, crop), position in zip(faces, positions, strict=True):
            crops[position] = torch.from_numpy(crop)
    times = plan.timeline.times
    return {
        "crops": crops,
        "indices": wanted.steps(len(audio.features), times),
        "times": torch.tensor([float(time) for time in times], dtype=torch.float64),
        **{name: values[list(shown)] for name, values in wanted.placement(plan).items()},
        "runs": torch.tensor(intervals, dtype=torch.int64).reshape(-1, 2),
        "mel": syncnet_mel(torch.from_numpy(inputs.voice.waveform())),
    }


def encode_crops(
    crops: Tensor, intervals: Sequence[tuple[int, int]], preparation: Preparation, check_cancelled: CheckCancelled
) -> dict[str, Tensor]:
    """Posteriors of crops (F, r, r, 3) uint8, whole and masked: (F, 4, h, w) float32; zeros outside the intervals."""
    codec, inputs = preparation.models.codec, preparation.inputs
    side = preparation.resolution // LATENT_STRIDE
    posteriors = {name: torch.zeros(len(crops), 4, side, side) for name in POSTERIORS}
    for start, stop in intervals:
        for part in torch.arange(start, stop).split(ENCODED_AT_ONCE):
            check_cancelled()
            pixels = pixels_of(crops[part].numpy())
            whole, masked = codec.encode(pixels), codec.encode(inputs.masked(pixels))
            for name, values in zip(POSTERIORS, (whole.mean, whole.std, masked.mean, masked.std), strict=True):
                posteriors[name][part] = values.float().cpu()
    return posteriors


def write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write a safetensors file whole or not at all, so that nobody reads half of it."""
    with atomic_write(path) as temporary, utf8_path(temporary) as place:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, place)
