"""What is seen of nodes at work: the sampled faces in their own colours, and words with the time left."""

from pathlib import Path

import numpy as np
import pytest
from own_files import with_own_files

WORKFLOWS = Path(__file__).parents[2] / "workflows" / "api"
STEPS = 3


@pytest.fixture(scope="module")
def run(client, short_clip, short_voice):
    """The embedded model on 16 frames: one window."""
    workflow = with_own_files(WORKFLOWS / "try_without_download.json", short_clip, short_voice)
    for node in workflow.values():
        node["inputs"].update(steps=STEPS, seed=11) if node["class_type"] == "LatentSyncLipSync" else None
    done = client.run(workflow)
    assert done.error is None, done.error["exception_message"]
    return done


def test_every_step_shows_the_windows_face_in_its_own_colours(run):
    assert len(run.previews) == STEPS
    face = np.asarray(run.previews[-1], float)[32:96, 32:96].mean((0, 1))
    red, green, blue = face
    assert red > green > blue, f"skin is warm; Stable Diffusion's factors made it {face}"
    assert np.abs(np.asarray(run.previews[-1], float) - np.asarray(run.previews[0], float)).mean() > 1


def test_words_say_what_is_done(run):
    texts = [text for _, text in run.texts]
    assert any(text.startswith("Denoising window 1 of 1") for text in texts), texts
    assert any(text.startswith("Tracking the face") for text in texts) or len(texts) > 1, texts
