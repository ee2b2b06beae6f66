"""Sync Score and Compare Videos on the canvas: as the library scores, for VIDEO and for IMAGE with AUDIO."""

import importlib
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

pytestmark = pytest.mark.long

DATA = Path(__file__).parents[1] / "data"
SPEAKER = DATA / "held_out.mp4"  # drawn, 4 s, with its own voice


@pytest.fixture(scope="module")
def modules(pack):
    def load(name: str):
        return importlib.import_module(f"{pack.__name__}.{name}")

    return SimpleNamespace(
        score=load("nodes.score"),
        media=load("latentsync_core.media"),
        errors=load("latentsync_core.errors"),
        files=load("latentsync_core.scoring.score_files"),
        tensors=load("latentsync_core.models.tensor_file"),
        video=importlib.import_module("comfy_api.latest").InputImpl.VideoFromFile,
    )


@pytest.fixture(scope="module")
def speaker(modules):
    """The drawn speaker as VIDEO."""
    return modules.video(str(SPEAKER))


@pytest.fixture(scope="module")
def parts(speaker) -> tuple[torch.Tensor, dict]:
    """The same as IMAGE and AUDIO."""
    components = speaker.get_components()
    return components.images, components.audio


def test_images_with_a_voice_score_as_the_video_does_in_the_library(modules, parts):
    images, audio = parts
    *numbers, plot, text = modules.score.SyncScore.execute(images=images, audio=audio).args
    sync = modules.files.score_files(modules.files.ScoreInputs(SPEAKER)).score.sync
    assert numbers[:3] == pytest.approx([sync.correlation, sync.agreement, sync.confidence], abs=0.02)
    assert numbers[1] > 0.5 and numbers[3] == sync.offset_frames and isinstance(numbers[3], int)
    assert plot.shape[0] == 1 and plot.shape[2:] == (1200, 3) and 0 <= plot.min() < plot.max() <= 1
    assert text.startswith("The mouth clearly follows") and "agreement of lips and voice" in text
    assert "Sync-C" not in text


def test_a_source_beside_it_is_told(modules, speaker):
    text = modules.score.SyncScore.execute(video=speaker, source=speaker).args[-1]
    assert "Nothing else in the picture was painted over" in text


@pytest.fixture
def syncnet(modules, node_classes):
    """SyncNet v2 in the models folder: a narrow one, trained on drawn heads."""
    trained = modules.tensors.read_tensors(DATA / "sync_net.safetensors")
    file = Path(importlib.import_module("folder_paths").models_dir) / "latentsync" / "syncnet_v2.model"
    file.parent.mkdir(exist_ok=True)
    torch.save({"state_dict": trained.tensors, "config": trained.mapping("config")}, file)
    yield
    file.unlink()


@pytest.mark.usefixtures("syncnet")
def test_syncnet_in_the_models_folder_judges_too(modules, speaker):
    text = modules.score.SyncScore.execute(video=speaker).args[-1]
    assert float(re.search(r"^Sync-C.* ([\d.]+)$", text, re.MULTILINE)[1]) > 1


@pytest.mark.parametrize(
    ("sockets", "said"),
    [
        ((), "neither a video nor images"),
        (("video", "images"), "both a video and images"),
        (("images",), "Images have no sound"),
    ],
)
def test_sockets_that_do_not_fit_are_refused_in_a_sentence(modules, speaker, parts, sockets, said):
    given = {"video": speaker, "images": parts[0]}
    with pytest.raises(modules.errors.LatentSyncError, match=said):
        modules.score.SyncScore.execute(**{name: given[name] for name in sockets})


def test_two_videos_become_one_with_their_names_and_one_sound(modules, speaker, parts):
    result = modules.score.CompareVideos.execute(speaker, speaker, audio=parts[1], labels="left\n\nright\n").args[0]
    with modules.media.VideoReader(result.get_stream_source()) as reader:
        frames = [frame.rgb().astype(int) for frame in reader.frames()]
        assert reader.info.has_audio and reader.info.fps == 25 and len(frames) == 100
    left, right = frames[12][52:292, 16:316], frames[12][52:292, 332:632]
    assert np.abs(left - right).mean() < 2 < left.std()
    with pytest.raises(modules.errors.LatentSyncError, match="3 labels were given for 2 clips"):
        modules.score.CompareVideos.execute(speaker, speaker, labels="a\nb\nc")
