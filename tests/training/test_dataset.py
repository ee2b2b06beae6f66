"""Prepared clips hold the same crops and tokens for the same frames as inference."""

import copy
import shutil
from dataclasses import replace

import pytest
import torch

from latentsync_core.audio import indices_at
from latentsync_core.diffusion import Window
from latentsync_core.diffusion.conditioning import TrainedConditioning
from latentsync_core.errors import LatentSyncError
from latentsync_core.generators.face_latents import batches_by_window, encode_faces
from latentsync_core.generators.latentsync.conditioning import ClipConditioning
from latentsync_core.media import VideoReader
from latentsync_core.models.loading import load_models
from latentsync_core.pipeline.plan import Inputs, plan_clip, track_clip
from latentsync_core.pipeline.settings import Settings
from latentsync_core.pipeline.voice import encode_voice
from latentsync_core.training.batches import TrainingWindows, WindowPair, mel_window
from latentsync_core.training.dataset import Preparation, find_clips, prepare_clips

pytestmark = pytest.mark.long

RESOLUTION, WINDOW = 64, 4


@pytest.fixture(scope="module")
def models():
    return load_models("embedded", device="cpu")


@pytest.fixture(scope="module")
def preparation(cache, models):
    return Preparation.of(cache, models, RESOLUTION)


@pytest.fixture(scope="module")
def clips(clips_folder, preparation):
    return prepare_clips(find_clips(clips_folder), preparation)


@pytest.fixture(scope="module")
def inference(clips_folder, models):
    """Conditioning and crops of the first clip, by the pipeline's own stages; positions on."""
    source = find_clips(clips_folder)[0]
    inputs, settings = Inputs.probe(source.video, source.voice), Settings(resolution=RESOLUTION)
    voice = encode_voice(inputs.voice, models.whisper, settings)
    plan = plan_clip(inputs, track_clip(inputs.video, voice.seconds, settings, device=models.device), voice, settings)
    with VideoReader(source.video) as reader:
        batches = batches_by_window(plan.windows, plan.timeline.source)
        cropped = list(plan.crops.alignment.crops(reader.frames_at(i for batch in batches for i in batch)))
        faces = encode_faces(cropped, batches, models.codec, torch.Generator())
    crops = [crop for _, crop in cropped]
    trained = TrainedConditioning(positions=True)
    tokens = trained.audio_tokens(voice.features, indices_at(len(voice.features), plan.timeline.times))
    return ClipConditioning(faces, tokens, plan.timeline.source, trained), crops


def test_a_training_batch_and_an_inference_window_have_the_same_tokens(clips, inference):
    conditioning, _ = inference
    windows = TrainingWindows(clips, WINDOW, RESOLUTION)
    for start in (0, 3, 8):
        batch = windows.batch([WindowPair(0, start, 0)], conditioning.trained, torch.Generator())
        _, voice, _ = conditioning.window(Window(start, start + WINDOW))
        assert torch.equal(batch.voice, voice)


def test_crops_and_masks_are_those_of_inference(clips, inference):
    conditioning, crops = inference
    stored = clips[0].read("crops")["crops"]
    assert len(stored) == len(crops) == 14
    assert all(torch.equal(a, torch.from_numpy(b)) for a, b in zip(stored, crops, strict=True))
    windows = TrainingWindows(clips, WINDOW, RESOLUTION)
    batch = windows.batch([WindowPair(0, 2, 8)], conditioning.trained, torch.Generator())
    seen = conditioning.window(Window(2, 6))[0]
    assert torch.equal(batch.condition[:, 0], seen[:, 0])
    # Both draw from the same posterior of the masked crop, whose spread is small beside its mean.
    moments = clips[0].rows(2, 6, "masked_mean", "masked_std")
    for masked in (batch.condition[0, 1:5], seen[0, 1:5]):
        deviations = (masked.transpose(0, 1) - moments["masked_mean"]) / moments["masked_std"]
        assert abs(float(deviations.std()) - 1) < 0.1


def test_reference_frames_never_show_a_frame_of_the_target(clips):
    windows = TrainingWindows(clips, WINDOW, RESOLUTION)
    generator = torch.Generator().manual_seed(0)
    for clip, target in windows.targets:
        for _ in range(5):
            pair = windows._with_reference(clip, target, generator)
            assert pair.clip == clip and abs(pair.reference - pair.target) >= WINDOW


def test_the_same_generator_draws_the_same_batch(clips):
    windows = TrainingWindows(clips, WINDOW, RESOLUTION, with_pictures=True)
    trained = TrainedConditioning()
    batches = [windows.draw(3, trained, torch.Generator().manual_seed(seed)) for seed in (4, 4, 5)]
    first, again, other = (vars(batch) for batch in batches)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["target"], other["target"])
    assert first["target"].shape == (3, 4, WINDOW, 8, 8) and first["condition"].shape == (3, 9, WINDOW, 8, 8)
    assert first["crops"].shape == (3, WINDOW, 64, 64, 3) and first["mel"].shape == (3, 1, 80, 52)


def test_clips_are_prepared_once_and_again_when_they_change(clips, clips_folder, cache, preparation, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in cache.iterdir()}
    prepare_clips(find_clips(clips_folder), preparation)
    assert {path: path.stat().st_mtime_ns for path in cache.iterdir()} == before
    for path in clips_folder.glob("a.*"):
        shutil.copy(path, tmp_path / path.name)
    moved = prepare_clips(find_clips(tmp_path), preparation)
    assert moved[0].faces not in before  # another modification time


def test_another_vae_only_encodes_the_crops_again(clips, clips_folder, cache, models):
    retrained = copy.deepcopy(models.codec)
    retrained.autoencoder.quant_conv.bias.data += 1
    other = Preparation.of(cache, replace(models, codec=retrained), RESOLUTION)
    again = prepare_clips(find_clips(clips_folder), other)
    assert [(clip.faces, clip.voice) for clip in again] == [(clip.faces, clip.voice) for clip in clips]
    assert all(new.latents != old.latents for new, old in zip(again, clips, strict=True))
    assert not torch.equal(again[0].read("mean")["mean"], clips[0].read("mean")["mean"])


def test_a_clip_without_sound_is_left_out_by_name_and_none_at_all_is_refused(clips_folder, models, tmp_path, caplog):
    shutil.copy(clips_folder / "a.mkv", tmp_path / "mute.mkv")
    with pytest.raises(LatentSyncError, match="None of the 1 clips"):
        prepare_clips(find_clips(tmp_path), Preparation.of(tmp_path / "cache", models, RESOLUTION))
    assert "mute.mkv" in caplog.text
    with pytest.raises(LatentSyncError, match="holds no video"):
        find_clips(tmp_path / "cache")


def test_clips_too_short_for_a_reference_are_refused(clips):
    with pytest.raises(LatentSyncError, match="two separate windows of 8 frames"):
        TrainingWindows(clips, 8, RESOLUTION)


def test_the_sync_loss_asks_for_its_rate(clips):
    windows = TrainingWindows(clips, WINDOW, RESOLUTION)
    windows.require_rate(25)
    with pytest.raises(LatentSyncError, match="a is not shown at 30 frames per second"):
        windows.require_rate(30)


def test_mel_windows_begin_with_their_frame():
    mel = torch.arange(100.0).expand(80, -1)
    assert mel_window(mel, 0.64)[0, 0, 0] == 51 and mel_window(mel, 0.64).shape == (1, 80, 52)
    assert mel_window(mel, 0.9)[0, 0, -1] == 99
