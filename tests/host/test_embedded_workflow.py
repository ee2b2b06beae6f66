"""The workflow that needs no download, in a real ComfyUI: a mouth that speaks, as the library draws it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from own_files import with_own_files

from latentsync_core.demo import CLIP
from latentsync_core.errors import LatentSyncError
from latentsync_core.media import VideoReader
from latentsync_core.models.loading import load_models
from latentsync_core.models.students import EMBEDDED_STUDENT, recorded_student
from latentsync_core.models.vae import Moments
from latentsync_core.pipeline.lipsync import lipsync
from latentsync_core.pipeline.settings import Settings
from latentsync_core.presets import student_preset

WORKFLOW = Path(__file__).parents[2] / "workflows" / "api" / "try_without_download.json"
EMBEDDED = "embedded (one portrait)"
SECONDS, STEPS = 4.0, 10
LEAST_CORRELATION = 0.5  # with the opening of the lips that the voice asks for; other voices reach 0.2
CLOSE = 0.5  # grey levels of 255, mean over the picture: two H.264 files of the same frames


@pytest.fixture(scope="module")
def workflow() -> dict:
    return json.loads(WORKFLOW.read_text())


def the(workflow: dict, kind: str) -> dict:
    """The inputs of the one node of a kind."""
    (found,) = [node["inputs"] for node in workflow.values() if node["class_type"] == kind]
    return found


def frames_of(path: Path) -> np.ndarray:
    """(N, H, W, 3) uint8."""
    with VideoReader(path) as reader:
        return np.stack([frame.rgb().copy() for frame in reader.frames()])


def run(client, clip: str, voice: str, **inputs) -> Path:
    """The video that the workflow, with inputs of Lip Sync, makes of a clip and a voice of the input folder."""
    workflow = with_own_files(WORKFLOW, clip, voice)
    the(workflow, "LatentSyncLipSync").update(inputs)
    done = client.run(workflow)
    assert done.error is None, done.error["exception_message"]
    (video,) = [file for file in done.files if file.suffix == ".mp4"]
    return video


def test_it_names_nothing_that_must_be_downloaded(workflow):
    for kind, name in (("Model", "checkpoint"), ("Whisper", "whisper"), ("VAE", "vae")):
        assert the(workflow, f"LatentSyncLoad{kind}")[name] == EMBEDDED
    synced = the(workflow, "LatentSyncLipSync")
    assert (synced["steps"], synced["guidance"]) == (20, 1.5)


def test_the_mouth_follows_the_voice_and_nobody_elses(client, workflow, tmp_path):
    pytest.importorskip("skimage", reason="the portrait comes with scikit-image")
    from latentsync_core.evaluation import make_evaluation_clips
    from latentsync_core.evaluation.evaluation_clips import measured_opening
    from latentsync_core.faces.mouth_opening import correlation
    from latentsync_core.training.synthetic.clips import write_clip

    try:
        exam, other = make_evaluation_clips(2, seconds=SECONDS)
    except LatentSyncError as error:
        pytest.skip(f"espeak-ng cannot speak here: {error}")
    clip = tmp_path / "exam.mp4"  # its own mouth says other words
    write_clip(replace(exam.source, speech=exam.ground_truth.speech), clip)
    result = run(client, client.upload(clip), client.upload(clip.with_suffix(".wav")), steps=STEPS)
    opening = measured_opening(frames_of(result))
    frames = min(len(opening), len(exam.ground_truth.opening))
    followed, filmed, stranger = (
        correlation(opening[:frames], clip.opening[:frames])
        for clip in (exam.ground_truth, exam.source, other.ground_truth)
    )
    assert followed > LEAST_CORRELATION, f"{followed:.2f}, the clip's own mouth {filmed:.2f}, stranger {stranger:.2f}"
    assert followed > max(filmed, stranger) + 0.2


class MeanCodec:
    """The library's codec without the draw around the mean, which ComfyUI's VAE nodes leave out."""

    def __init__(self, codec):
        self.codec, self.decode = codec, codec.decode

    def encode(self, pixels):
        moments = self.codec.encode(pixels)
        return Moments(moments.mean, moments.std * 0)


@pytest.mark.parametrize("preset", ["custom", "turbo"])
def test_the_canvas_draws_what_the_library_draws(client, preset, short_voice, host, tmp_path):
    drawn = frames_of(run(client, client.upload(CLIP), short_voice, steps=3, preset=preset))
    if preset == "turbo":
        student = recorded_student(EMBEDDED_STUDENT)
        models = load_models("embedded", lora=EMBEDDED_STUDENT, device="cpu", precision="fp32")
        settings = Settings(**student_preset(student).values())
        assert settings.steps == 4 and settings.guidance.scale == 1
    else:
        models, settings = load_models("embedded", device="cpu", precision="fp32"), Settings(steps=3)
    models = replace(models, codec=MeanCodec(models.codec))
    lipsync(CLIP, host.base / "input" / short_voice, tmp_path / "ours.mp4", models, settings)
    ours = frames_of(tmp_path / "ours.mp4")
    assert drawn.shape == ours.shape
    assert np.abs(drawn.astype(np.int16) - ours).mean() < CLOSE
    filmed = frames_of(CLIP)[: len(ours)]
    assert np.abs(ours.astype(np.int16) - filmed).mean() > 2 * CLOSE  # the mouth was redrawn


def test_another_vae_is_refused_in_a_sentence(client, workflow, short_clip, short_voice):
    from host_server import FAST_VAE

    workflow = with_own_files(WORKFLOW, short_clip, short_voice)
    (loader,) = [node for node in workflow.values() if node["class_type"] == "LatentSyncLoadVAE"]
    loader.update(class_type="VAELoader", inputs={"vae_name": FAST_VAE})
    error = client.run(workflow).error
    assert "sees through the embedded VAE only" in error["exception_message"]
    assert "LatentSync Load VAE" in error["exception_message"]
