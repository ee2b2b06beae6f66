"""What is seen of nodes at work: the sampled faces in their own colours, words with the time left, one bar, a score."""

from pathlib import Path

import numpy as np
import pytest
from own_files import with_own_files

from latentsync_core.demo import CLIP, VOICE

WORKFLOWS = Path(__file__).parents[2] / "workflows" / "api"
EMBEDDED = "embedded (one portrait)"
STEPS = 3


def lip_sync_workflow(clip: str, voice: str) -> tuple[dict, str]:
    """The embedded model on a clip and a voice, and the id of its Lip Sync node."""
    workflow = with_own_files(WORKFLOWS / "try_without_download.json", clip, voice)
    (number,) = [number for number, node in workflow.items() if node["class_type"] == "LatentSyncLipSync"]
    workflow[number]["inputs"].update(steps=STEPS, seed=11)
    return workflow, number


@pytest.fixture(scope="module")
def run(client, short_clip, short_voice):
    """The embedded model on 16 frames: one window."""
    workflow, _ = lip_sync_workflow(short_clip, short_voice)
    done = client.run(workflow)
    assert done.error is None, done.error["exception_message"]
    return done


@pytest.fixture(scope="module")
def musetalk(client):
    """The embedded MuseTalk in the Lip Sync node, on the whole portrait: its id, and what it did."""
    workflow, number = lip_sync_workflow(client.upload(CLIP), client.upload(VOICE))
    for node in workflow.values():
        if node["class_type"] == "LatentSyncLoadModel":
            node["class_type"] = "LatentSyncLoadMuseTalkModel"
            node["inputs"] = {"checkpoint": EMBEDDED, "release": "auto", "bbox_shift": 0, "dtype": "auto"}
        elif node["class_type"] == "LatentSyncLoadWhisper":
            node["inputs"]["generator"] = "musetalk"
    done = client.run(workflow)
    assert done.error is None, done.error["exception_message"]
    return number, done


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
    assert "No score: the face is synced for 0.60 s; 1 s is needed" in texts[-1], texts


def test_musetalk_in_the_lip_sync_node_shows_every_window_and_says_what_it_did_not_use(musetalk):
    _, done = musetalk
    assert len(done.previews) >= 8 and done.previews[-1].width > done.previews[0].width
    red, green, blue = np.asarray(done.previews[0], float)[32:96, 32:96].mean((0, 1))
    assert red > green > blue
    texts = [text for _, text in done.texts]
    assert any("steps, guidance, seed, schedule, reuse and preset were not used" in text for text in texts), texts


def test_the_result_says_how_well_lips_and_voice_agree(musetalk):
    number, done = musetalk
    node, text = done.texts[-1]
    assert node == number and "synced" in text.splitlines()[0]
    assert text.splitlines()[1].startswith("The mouth clearly follows the voice (agreement "), text
    assert float(text.rstrip(".").rpartition(" ")[2]) > 0.5, text


def test_the_bar_of_the_node_that_unfolds_fills_once(musetalk):
    number, done = musetalk
    filled = [bars[number] for bars in done.bars if bars.get(number)]
    assert filled == sorted(filled), filled
    assert filled[-1] > 0.99 and len({round(share, 1) for share in filled}) >= 6, filled
