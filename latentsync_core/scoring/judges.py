"""Judges that need something more than the clip: SyncNet's weights, or what is said in it.

Each gives a mapping for `ClipScore.judges`. In all of them an offset above 0 means that the sound is late.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ..errors import LatentSyncError
from ..media import VideoReader
from ..models.catalog import STABLE_SYNCNET, SYNCNET_V2, find
from ..models.syncnet import SyncNetV2, load_sync_net_v2, load_syncnet
from ..progress import Callbacks
from .phone_alignment import align_text
from .phone_files import read_phones
from .phone_scores import phone_scores
from .score_files import ScoredClip
from .stable_sync import stable_sync
from .syncnet import SyncScore, pcm_of, score_known_tracks
from .syncnet_crops import EvaluationPlan, plan_evaluation

Judge = Callable[[ScoredClip, Callbacks], Mapping[str, Any]]
"""Called with a scored clip; returns what is added to its JSON."""


@dataclass(frozen=True)
class SyncNetJudge:
    """Sync-C, Sync-D and offset by SyncNet v2 on the face that was scored, its tracks of 50 frames and more.

    path: of its weights. crop: "mesh" or "s3fd", see syncnet_crops.
    """

    path: Path
    crop: str = "mesh"
    device: torch.device | str = "cpu"

    def __call__(self, scored: ScoredClip, callbacks: Callbacks) -> dict[str, Any]:
        return syncnet_scores(scored, load_sync_net_v2(self.path, self.device), self.crop, callbacks)


def syncnet_scores(scored: ScoredClip, network: SyncNetV2, crop: str, callbacks: Callbacks) -> dict[str, Any]:
    """What SyncNet v2 says, by a network that is loaded already, or why it says nothing: its tracks are too short."""
    with VideoReader(scored.clip.path) as reader:
        try:
            plan = evaluation_plan(scored, reader, crop)
            pictures = (frame.rgb() for frame in reader.frames_at(plan.sources))
            score = score_known_tracks(pictures, plan, pcm_of(scored.waveform), network, callbacks)
        except LatentSyncError as error:
            return {"syncnet": {"unmeasured": str(error)}}
    return syncnet_numbers(score)


def syncnet_numbers(score: SyncScore) -> dict[str, Any]:
    """For JSON. The published scripts print the offset with the other sign."""
    tracks = [
        {"first": t.first, "frames": t.frames, "sync_c": t.sync_c, "sync_d": t.sync_d, "offset": -t.offset_frames}
        for t in score.tracks
    ]
    offset = {"offset_frames": -score.offset_frames, "crop": score.crop, "tracks": tracks}
    return {"sync_c": score.sync_c, "sync_d": score.sync_d, "syncnet": offset}


@dataclass(frozen=True)
class StableSyncNetJudge:
    """Cosine similarity and accuracy by LatentSync's own StableSyncNet. path: of its weights."""

    path: Path
    device: torch.device | str = "cpu"

    def __call__(self, scored: ScoredClip, callbacks: Callbacks) -> dict[str, Any]:
        network = load_syncnet(self.path, self.device)
        with VideoReader(scored.clip.path) as reader:
            try:
                plan = evaluation_plan(scored, reader, "mesh")
                pictures = (frame.rgb() for frame in reader.frames_at(plan.sources))
                score = stable_sync(pictures, plan, [scored.clip.track], pcm_of(scored.waveform), network, callbacks)
            except LatentSyncError as error:
                return {"stable_syncnet": {"unmeasured": str(error)}}
        return {"stable_syncnet": dict(vars(score))}


@dataclass(frozen=True)
class PhoneJudge:
    """What the lips do at the phones. timed: a file of timed phones; or text: what is said, in `language`."""

    timed: Path | None = None
    text: str | None = None
    language: str = "en-us"

    def __call__(self, scored: ScoredClip, callbacks: Callbacks) -> dict[str, Any]:
        callbacks.check_cancelled()
        phones = read_phones(self.timed) if self.timed else align_text(self.text, scored.waveform, self.language)
        scores = phone_scores(scored.face.shape.opening, scored.face.times, phones)
        return {"phones": scores.to_dict()}


def evaluation_plan(scored: ScoredClip, reader: VideoReader, crop: str) -> EvaluationPlan:
    """What of a scored clip's face SyncNet is shown."""
    return plan_evaluation([scored.clip.track], scored.clip.times, reader.info.fps, crop)


def syncnet_judges(directory: Path, crop: str, device: torch.device | str) -> list[Judge]:
    """Those SyncNets whose files are in a models folder."""
    judges: list[Judge] = []
    if path := find(SYNCNET_V2, directory):
        judges.append(SyncNetJudge(path, crop, device))
    if path := find(STABLE_SYNCNET, directory):
        judges.append(StableSyncNetJudge(path, device))
    return judges


def judged(scored: ScoredClip, judges: list[Judge], callbacks: Callbacks) -> ScoredClip:
    """The scored clip with what the judges say."""
    said: dict[str, Any] = dict(scored.score.judges or {})
    for judge in judges:
        said.update(judge(scored, callbacks))
    return replace(scored, score=replace(scored.score, judges=said))
