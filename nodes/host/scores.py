"""Scores of what travels on the canvas and of what nodes make: clips and sounds become files, networks come from the
host's memory."""

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import folder_paths
import numpy as np
import torch
from scipy.io import wavfile

from ...latentsync_core.errors import LatentSyncError
from ...latentsync_core.media import ImageReader, VideoWriter, probe_video, resample_waveform
from ...latentsync_core.models.catalog import SYNCNET_V2
from ...latentsync_core.options import EVALUATION_CROPS
from ...latentsync_core.progress import Callbacks
from ...latentsync_core.scoring.compare_clips import compare_clips, shared_sound
from ...latentsync_core.scoring.judges import judged, syncnet_scores
from ...latentsync_core.scoring.run_score import RunScore
from ...latentsync_core.scoring.score_files import ScoredClip, ScoreInputs, score_files
from ...latentsync_core.scoring.voice import voice_mouth
from ...latentsync_core.scoring.words import sync_sentence
from ..types import ClipTokens
from .folders import FOLDER, temporary_file, temporary_folder
from .memory import check_cancelled, face_networks, loaded, patch_small_model
from .progress import node_callbacks
from .video_source import LOSSLESS, written_clip


@dataclass(frozen=True)
class ScoreSockets:
    """What is connected to Sync Score: VIDEO or IMAGE with its rate, AUDIO, the VIDEO it was made from; whose face."""

    video: Any
    images: torch.Tensor | None
    images_fps: Fraction
    audio: dict | None
    source: Any
    face: str


def score_inputs(given: ScoreSockets, folder: Path) -> ScoreInputs:
    """What Sync Score's sockets hold, as files; in `folder`, where they are not files already. Raises LatentSyncError for too few or too many of them."""
    if (given.video is None) == (given.images is None):
        found = "neither a video nor images; connect" if given.video is None else "both a video and images; keep"
        raise LatentSyncError(f"Sync Score has {found} one of the two.")
    clip = written_clip(given.video, folder) if given.images is None else images_file(given, folder)
    if given.audio is None and not probe_video(clip).has_audio:
        what = "The video has no sound" if given.images is None else "Images have no sound"
        raise LatentSyncError(f"{what} to compare the lips with; connect the voice to audio.")
    return ScoreInputs(
        video=clip,
        audio=None if given.audio is None else audio_file(given.audio, folder),
        source=None if given.source is None else written_clip(given.source, folder),
        face=given.face,
    )


def images_file(given: ScoreSockets, folder: Path) -> Path:
    """IMAGE frames (frames, H, W, 3) as a lossless file."""
    path = folder / "images.mkv"
    with ImageReader(given.images, given.images_fps) as reader, VideoWriter(path, reader.info, LOSSLESS) as writer:
        for frame in reader.frames():
            writer.write(frame.picture)
    return path


def audio_file(audio: dict, folder: Path) -> Path:
    """An AUDIO as a WAV file of float samples."""
    path = folder / "voice.wav"
    waveform = audio["waveform"][0].float().cpu().numpy()  # (channels, samples)
    wavfile.write(path, int(audio["sample_rate"]), np.ascontiguousarray(waveform.T))
    return path


def score_clip(inputs: ScoreInputs) -> ScoredClip:
    """Score a clip by its mesh, and by each further judge whose file is in the models folder."""
    callbacks, judges = node_callbacks(), []
    if path := folder_paths.get_full_path(FOLDER, SYNCNET_V2.name):
        judges.append(partial(syncnet_judge, path))
    return judged(score_files(inputs, nets=loaded(face_networks()), callbacks=callbacks), judges, callbacks)


def result_score() -> RunScore:
    """What scores a result while it is written: its `observe` takes every frame as it comes."""
    return RunScore(nets=loaded(face_networks()))


def result_sentence(score: RunScore, tokens: ClipTokens) -> str:
    """What a result's frames say of lips and voice, or why they say nothing."""
    voice = tokens.audio if tokens.voice is None else tokens.voice.audio

    def read_mouth():
        waveform = resample_waveform(voice["waveform"][0].float().cpu().numpy(), int(voice["sample_rate"]))
        return voice_mouth(waveform, "the audio input", check_cancelled)

    try:
        scored = score.own_score(read_mouth, [window.start for window in tokens.windows])
    except LatentSyncError as error:
        return f"No score: {error}"
    return f"{sync_sentence(scored)} Correlation of the mouth with the voice: {scored.sync.correlation:.2f}."


def syncnet_judge(path: str, scored: ScoredClip, callbacks: Callbacks) -> dict[str, Any]:
    """Sync-C, Sync-D and offset by SyncNet v2, placed by the host."""
    return syncnet_scores(scored, loaded(syncnet_v2(path)), EVALUATION_CROPS[0], callbacks)


@lru_cache(maxsize=1)
def syncnet_v2(path: str):
    """SyncNet v2's patcher."""
    from ...latentsync_core.models.syncnet import load_sync_net_v2

    return patch_small_model(load_sync_net_v2(path))


def compare_to_file(videos: list, audio: dict | None, labels: list[str]) -> str:
    """Write a comparison of VIDEOs with one AUDIO, or the sound of the first that has any, into the temp folder."""
    from ...latentsync_core.visualize.side_by_side import write_side_by_side

    path, callbacks = temporary_file(".mp4"), node_callbacks()
    with temporary_folder() as folder:
        paths = [written_clip(video, folder) for video in videos]
        sound = shared_sound(paths, None if audio is None else audio_file(audio, folder))
        clips = compare_clips(paths, sound, labels=labels, nets=loaded(face_networks()), callbacks=callbacks)
        write_side_by_side(Path(path), clips, sound, callbacks=callbacks)
    return path
