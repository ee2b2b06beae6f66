"""A rendered clip whose truth is known: offsets are found, a foreign voice is told, and nothing depends on batches.

tests/data/README.md says where the clip and the network come from.
"""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from small_media import cut_voice, grey_clip, silence

from latentsync_core.demo import VOICE
from latentsync_core.errors import LatentSyncError
from latentsync_core.faces import FaceTrack, track_people
from latentsync_core.media import VideoReader
from latentsync_core.models.syncnet import SyncNetV2, SyncNetV2Config, load_sync_net_v2
from latentsync_core.models.tensor_file import read_tensors
from latentsync_core.progress import Callbacks
from latentsync_core.scoring.sync_confidence import sync_confidence
from latentsync_core.scoring.syncnet import (
    BATCH_WINDOWS,
    SAMPLES_PER_FRAME,
    LipSeries,
    embed_lips,
    embed_voice,
    lip_windows,
    score_known_tracks,
    score_tracks,
    voice_samples,
)
from latentsync_core.scoring.syncnet_crops import plan_evaluation

DATA = Path(__file__).parents[1] / "data"
CLIP = DATA / "held_out.mp4"


@pytest.fixture(scope="module")
def network():
    return load_sync_net_v2(DATA / "sync_net.safetensors")


@pytest.fixture(scope="module")
def clip():
    """The pictures of the clip, its only face, and its voice."""
    with VideoReader(CLIP) as reader:
        pictures = [frame.rgb() for frame in reader.frames()]
        (person,) = track_people(pictures).persons
        return pictures, person.track, voice_samples(CLIP)


def planned(track: FaceTrack, fps: Fraction, crop: str = "mesh"):
    return plan_evaluation([track], [index / fps for index in range(len(track))], fps, crop)


def shifted(pcm: np.ndarray, late: int) -> np.ndarray:
    """A voice that comes `late` frames of 40 ms too late, or too early below 0."""
    samples = late * SAMPLES_PER_FRAME
    return np.pad(pcm, (max(samples, 0), max(-samples, 0)))[max(-samples, 0) :][: len(pcm)]


@pytest.fixture(scope="module")
def own(network, clip):
    """The score of the clip with its own voice."""
    pictures, track, pcm = clip
    return score_known_tracks(pictures, planned(track, Fraction(25)), pcm, network)


@pytest.fixture(scope="module")
def lips(network, clip):
    """The lip embeddings of the clip, of as many windows as are scored."""
    pictures, track, _ = clip
    return embed_lips(pictures, planned(track, Fraction(25)), network, Callbacks())[0][:-1]


def test_every_shift_of_the_voice_is_found_to_a_frame(network, clip, lips):
    pcm = clip[2]
    found = {
        late: sync_confidence(lips, embed_voice(shifted(pcm, late), len(lips), network)) for late in range(-10, 11)
    }
    assert all(abs(score.offset + late) <= 1 for late, score in found.items()), found
    assert sum(score.offset == -late for late, score in found.items()) > 15, found


def test_a_foreign_voice_has_less_confidence(network, clip, lips, own):
    pcm = clip[2]
    pieces = pcm[: len(pcm) // 3200 * 3200].reshape(-1, 3200)  # of 0.2 s
    shuffled = np.random.default_rng(1).permutation(pieces).reshape(-1)
    for voice in (voice_samples(CLIP, VOICE), shuffled):
        found = sync_confidence(lips, embed_voice(voice, len(lips), network))
        assert found.confidence < 0.5 * own.sync_c and found.distance > own.sync_d


@pytest.mark.long
def test_a_file_is_scored_with_its_own_sound_and_twice_alike(network, own):
    found = score_tracks(CLIP, None, network)
    assert (found.sync_c, found.sync_d, found.offset_frames) == (own.sync_c, own.sync_d, own.offset_frames)
    (track,) = found.tracks
    assert (track.person, track.first, track.frames, found.crop) == (1, 0, 100, "mesh")
    assert track.curve.shape == (31,) and track.confidences.shape == (95,)
    assert (track.sync_c, track.sync_d, track.offset_frames) == (found.sync_c, found.sync_d, found.offset_frames)


def test_a_clip_at_50_scores_as_at_25(network, clip, own):
    """Every picture twice, half as long."""
    pictures, track, pcm = clip
    twice = FaceTrack.from_arrays({**track.to_arrays(), **{k: np.repeat(v, 2, 0) for k, v in per_frame(track)}})
    plan = planned(twice, Fraction(50))
    found = score_known_tracks([pictures[source // 2] for source in plan.sources], plan, pcm, network)
    assert (found.sync_c, found.offset_frames) == (own.sync_c, own.offset_frames)


def per_frame(track: FaceTrack):
    return [(name, array) for name, array in track.to_arrays().items() if name not in ("cuts", "size")]


def test_the_clip_is_the_mean_of_its_tracks(network, clip):
    """A cut makes two tracks of one face; what the sound does not reach is left out."""
    pictures, track, pcm = clip
    halves = FaceTrack.from_arrays({**track.to_arrays(), "cuts": np.array([50])})
    plan = planned(halves, Fraction(25))
    score = score_known_tracks(pictures, plan, pcm, network)
    assert [(part.first, part.frames) for part in score.tracks] == [(0, 50), (50, 50)]
    assert score.sync_c == pytest.approx(np.mean([part.sync_c for part in score.tracks]))
    assert score.sync_d == pytest.approx(np.mean([part.sync_d for part in score.tracks]))
    half = score_known_tracks(pictures, plan, pcm[: 60 * SAMPLES_PER_FRAME], network)
    assert [(part.first, part.frames) for part in half.tracks] == [(0, 50)]
    assert half.tracks[0].sync_c == pytest.approx(score.tracks[0].sync_c)


@pytest.mark.long
@torch.inference_mode()
def test_batches_change_nothing():
    """A series longer than a batch has the embeddings of its windows one by one."""
    crops = np.random.default_rng(2).integers(0, 256, (BATCH_WINDOWS + 7, 224, 224, 3), np.uint8)
    torch.manual_seed(0)
    double = SyncNetV2(SyncNetV2Config(voice=(2,) * 6, lips=(2,) * 6, hidden=4, embedding=4)).double().eval()
    series = LipSeries(double)
    for crop in crops:
        series.add(crop)
    found = series.finish()
    assert len(found) == BATCH_WINDOWS + 3
    for first in (0, BATCH_WINDOWS - 1, BATCH_WINDOWS, BATCH_WINDOWS + 2):
        alone = double.lips(lip_windows(crops[first : first + 5]))[0].numpy()
        np.testing.assert_allclose(found[first], alone, rtol=0, atol=1e-9)


def test_the_network_of_these_tests_says_what_it_is():
    path = DATA / "sync_net.safetensors"
    file = read_tensors(path)
    assert "one portrait" in file.about["knows"] and file.mapping("recipe")["seed"] and path.stat().st_size < 2e6
    measured = file.mapping("measured")
    assert measured["within_one"] > 0.95 and measured["confidence"] > 2 * measured["foreign_confidence"]


def test_what_cannot_be_judged_is_refused(network, clip, tmp_path):
    with pytest.raises(LatentSyncError, match="no face was found in its 8 frames"):
        score_tracks(grey_clip(tmp_path / "grey.mkv", 8), VOICE, network)
    with pytest.raises(LatentSyncError, match="silent"):
        voice_samples(CLIP, silence(tmp_path / "silence.wav", 64_000))
    pictures, track, _ = clip
    short = voice_samples(CLIP, cut_voice(tmp_path / "short.wav", 1.5))
    with pytest.raises(LatentSyncError, match=r"The sound lasts 1.50 s, and no face is in sight for 2 s"):
        score_known_tracks(pictures, planned(track, Fraction(25)), short, network)
