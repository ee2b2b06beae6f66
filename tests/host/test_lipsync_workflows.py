"""Every bundled workflow runs in a real ComfyUI, repeats only what changed, stops when told to, refuses in words."""

import shutil
import time
import wave
from io import BytesIO
from pathlib import Path

import av
import pytest
from host_server import FAST_VAE, MUSETALK, UNET, WHISPER
from own_files import with_own_files

from latentsync_core.demo import CLIP, VOICE

WORKFLOWS = sorted((Path(__file__).parents[2] / "workflows" / "api").glob("*.json"))
EMBEDDED = "embedded (one portrait)"
COMPARED = (1920, 712)  # pixels: four square clips beside one another
FOLDER = "two_clips"  # of the input folder, with nothing else in it
FRAMES, SECONDS = 27, 1.08  # of the voice: a whole window and a short one, and enough to be scored
TINY = {
    "LatentSyncLoadModel": {"checkpoint": UNET},
    "LatentSyncLoadMuseTalkModel": {"checkpoint": MUSETALK},
    "LatentSyncLoadWhisper": {"whisper": WHISPER},
    "VAELoader": {"vae_name": FAST_VAE},
    "KSampler": {"steps": 2},
    "LatentSyncSampler": {"steps": 2},
    "LatentSyncLipSync": {"steps": 2},
}


@pytest.fixture(scope="module")
def media(client, tmp_path_factory) -> dict[str, dict]:
    """The demo's clip and the beginning of its voice, and another stretch of it, in the server's input folder."""
    folder = tmp_path_factory.mktemp("voices")
    voices = []
    for name, skipped in (("short.wav", 0), ("other.wav", 1)):
        with wave.open(str(VOICE)) as source, wave.open(str(folder / name), "wb") as target:
            target.setparams(source.getparams())
            source.readframes(skipped * source.getframerate())
            target.writeframes(source.readframes(round(SECONDS * source.getframerate())))
        voices.append(client.upload(folder / name))
    return {"LoadVideo": {"file": client.upload(CLIP)}, "LoadAudio": {"audio": voices[0]}, "other": voices[1]}


def prepared(path: Path, media: dict) -> dict:
    """A bundled workflow with the tests' own files and few steps."""
    workflow = with_own_files(path, media["LoadVideo"]["file"], media["LoadAudio"]["audio"])
    for node in workflow.values():
        if EMBEDDED not in node["inputs"].values():  # small as it is
            node["inputs"].update(TINY.get(node["class_type"], {}))
    return workflow


def bundled(name: str, media: dict) -> dict:
    return prepared(next(path for path in WORKFLOWS if path.name == f"{name}.json"), media)


def node_of(workflow: dict, kind: str) -> str:
    """The id of the one node of a kind."""
    (found,) = [number for number, node in workflow.items() if node["class_type"] == kind]
    return found


def executed_kinds(run, workflow: dict) -> list[str]:
    return [workflow[number]["class_type"] for number in run.executed if number in workflow]


def kinds_in(workflow: dict) -> set[str]:
    return {node["class_type"] for node in workflow.values()}


def check_result(path: Path, size: tuple[int, int] = (512, 512)) -> None:
    """The source's frame rate and size, or another; the voice's length, rate and channels."""
    with av.open(str(path)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert video.average_rate == 25 and (video.width, video.height) == size
        assert sum(1 for _ in container.decode(video=0)) == FRAMES
    with av.open(str(path)) as container:
        samples = sum(frame.samples for frame in container.decode(audio=0))
        assert container.streams.audio[0].rate == audio.rate == 22050 and audio.channels == 1
        assert abs(samples / 22050 - SECONDS) < 0.05


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_bundled_workflow_makes_its_files(client, media, path):
    workflow = prepared(path, media)
    run = client.run(workflow)
    assert run.error is None, run.error["exception_message"]
    saves = [node for node in workflow.values() if node["class_type"] == "SaveVideo"]
    videos = [file for file in run.files if file.suffix == ".mp4"]
    assert len(videos) == len(saves) >= 1
    for video in videos:
        check_result(video, size=COMPARED if "LatentSyncCompareVideos" in kinds_in(workflow) else (512, 512))


def test_the_sweep_shows_curves_and_words_of_all_four(client, media):
    run = client.run(bundled("sweep_guidance_steps", media))
    shown = [output["text"][0] for output in run.outputs.values() if "text" in output]
    assert len(shown) == 4 and all(text.startswith("The mouth") for text in shown)
    assert len([file for file in run.files if file.suffix == ".png"]) == 4


def test_guidance_repeats_only_sampling_and_blending(client, media):
    workflow = bundled("lipsync", media)
    client.run(workflow)
    workflow[node_of(workflow, "LatentSyncSampler")]["inputs"]["guidance"] = 2.25
    run = client.run(workflow)
    kinds = executed_kinds(run, workflow)  # Face Blend looks at what it has been given before it asks for the latent
    assert kinds[-3:] == ["LatentSyncSampler", "LatentSyncFaceBlend", "SaveVideo"] and len(set(kinds)) == 3
    assert {"LatentSyncFaceTrack", "LatentSyncFaceEncode", "LatentSyncConditioning"} <= {
        workflow[number]["class_type"] for number in run.cached
    }


def test_another_voice_repeats_no_face_work(client, media):
    workflow = bundled("lipsync", media)
    client.run(workflow)
    workflow[node_of(workflow, "LoadAudio")]["inputs"]["audio"] = media["other"]
    kinds = executed_kinds(client.run(workflow), workflow)
    assert "LatentSyncAudioFeatures" in kinds and "LatentSyncSampler" in kinds
    assert not {"LatentSyncFaceTrack", "LatentSyncFaceEncode", "VAELoader", "LatentSyncLoadModel"} & set(kinds)


def test_the_node_that_does_it_all_unfolds_into_cached_stages(client, media, host):
    workflow = bundled("lipsync_simple", media)
    client.run(workflow)
    tracked = host.log.count("tracked a face")
    workflow[node_of(workflow, "LatentSyncLipSync")]["inputs"]["guidance"] = 1.75
    run = client.run(workflow)
    assert run.error is None and run.files
    assert host.log.count("tracked a face") == tracked


def test_the_same_graph_gives_the_same_video(client, media):
    workflow = bundled("lipsync", media)
    first = client.run(workflow).files[0].read_bytes()
    blend = workflow[node_of(workflow, "LatentSyncFaceBlend")]["inputs"]
    blend["crf"] = 17
    client.run(workflow)
    blend["crf"] = 16
    with av.open(str(client.run(workflow).files[0])) as again, av.open(BytesIO(first)) as before:
        pairs = zip(before.decode(video=0), again.decode(video=0), strict=True)
        assert all((a.to_ndarray() == b.to_ndarray()).all() for a, b in pairs)


@pytest.mark.parametrize("stage", ["LatentSyncFaceTrack", "LatentSyncFaceEncode", "LatentSyncSampler"])
def test_cancel_stops_a_stage_within_a_second_or_two(client, media, stage):
    workflow = bundled("lipsync", media)
    if stage == "LatentSyncSampler":
        workflow[node_of(workflow, stage)]["inputs"].update(steps=500, seed=99)
    else:
        workflow[node_of(workflow, "LatentSyncFaceTrack")]["inputs"]["max_gap"] = 11 + len(stage)  # not in the cache
    number, pressed = node_of(workflow, stage), []

    def in_the_middle(event: str, data: dict) -> bool:
        if event == "progress" and data["node"] == number and not pressed:
            pressed.append(time.monotonic())
            return True
        return False

    run = client.run(workflow, interrupt_when=in_the_middle)
    assert pressed and run.interrupted and run.error is None
    assert not [file for file in run.files if file.suffix == ".mp4"]
    assert time.monotonic() - pressed[0] < 5  # this machine's CPU is shared; alone it is well under a second


def test_a_wrong_checkpoint_is_called_by_its_name(client, media, host):
    import torch
    from safetensors.torch import save_file

    folder = host.base / "models" / "diffusion_models"
    folder.mkdir(parents=True, exist_ok=True)
    save_file({"conv_in.weight": torch.zeros(320, 4, 3, 3)}, folder / "sd15_unet.safetensors")
    workflow = bundled("lipsync", media)
    workflow[node_of(workflow, "LatentSyncLoadModel")]["inputs"]["checkpoint"] = "sd15_unet.safetensors"
    run = client.run(workflow)
    assert run.error["node_type"] == "LatentSyncLoadModel"
    assert "sd15_unet.safetensors is a Stable Diffusion" in run.error["exception_message"]
    assert "LatentSync UNet" in run.error["exception_message"]


def test_a_clip_without_a_face_is_refused_in_a_sentence(client, media, host, tmp_path):
    import numpy as np

    path = tmp_path / "grey.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, width=128, height=128, pix_fmt="yuv420p")
        for _ in range(12):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((128, 128, 3), 90, np.uint8))))
        container.mux(stream.encode(None))
    workflow = bundled("lipsync", media)
    workflow[node_of(workflow, "LoadVideo")]["inputs"]["file"] = client.upload(path)
    run = client.run(workflow)
    assert run.error["node_type"] == "LatentSyncFaceTrack"
    assert "No face found in frames 0-11" in run.error["exception_message"]


def test_a_blend_without_its_vae_is_refused_before_anything_runs(client, media):
    workflow = bundled("lipsync", media)
    del workflow[node_of(workflow, "LatentSyncFaceBlend")]["inputs"]["vae"]
    del workflow[node_of(workflow, "PreviewImage")]  # an output that needs no blend runs all the same
    assert "needs either a latent with its VAE, or crops" in client.refusal(workflow)


def test_crops_of_a_wrong_count_fail_before_the_faces_are_sampled(client, media):
    workflow = bundled("lipsync", media)
    workflow[node_of(workflow, "LatentSyncSampler")]["inputs"]["seed"] = 4321  # not in the cache
    blend = node_of(workflow, "LatentSyncFaceBlend")
    workflow["900"] = {
        "class_type": "EmptyImage",
        "inputs": {"width": 128, "height": 128, "batch_size": 3, "color": 0},
    }
    workflow[blend]["inputs"]["crops"] = ["900", 0]
    run = client.run(workflow)
    assert run.error["node_type"] == "LatentSyncFaceBlend"
    assert f"3 generated faces came for {FRAMES} synced frames" in run.error["exception_message"]
    assert "LatentSyncSampler" not in executed_kinds(run, workflow)


def test_images_work_in_place_of_a_video(client, media):
    workflow = bundled("lipsync", media)
    video = node_of(workflow, "LoadVideo")
    track = workflow[node_of(workflow, "LatentSyncFaceTrack")]["inputs"]
    workflow["900"] = {"class_type": "GetVideoComponents", "inputs": {"video": [video, 0]}}
    workflow["901"] = {
        "class_type": "ImageFromBatch",
        "inputs": {"image": ["900", 0], "batch_index": 0, "length": 24},
    }
    del track["video"]
    track["images"] = ["901", 0]
    run = client.run(workflow)
    assert run.error is None, run.error["exception_message"]
    check_result(next(file for file in run.files if file.suffix == ".mp4"))


@pytest.fixture
def folder_of_clips(client, object_info, short_clip, tmp_path) -> dict:
    """The host's node that gives every clip of a folder, here two short ones."""
    if "LoadVideoDataSetFromFolder" not in object_info:
        pytest.skip("this ComfyUI has no node that loads a folder of videos")
    for name in ("a.mp4", "b.mp4"):
        shutil.copy(client.host.base / "input" / short_clip, tmp_path / name)
        client.upload(tmp_path / name, FOLDER)
    return {"class_type": "LoadVideoDataSetFromFolder", "inputs": {"folder": FOLDER}}


def test_a_folder_of_clips_gives_a_result_of_each(client, media, folder_of_clips):
    workflow = bundled("lipsync", media)
    workflow[node_of(workflow, "LoadVideo")] = folder_of_clips
    run = client.run(workflow)
    assert run.error is None, run.error["exception_message"]
    assert len([file for file in run.files if file.suffix == ".mp4"]) == 2


def test_the_node_that_does_it_all_refuses_a_list_rather_than_lose_most_of_it(client, media, folder_of_clips):
    workflow = bundled("lipsync_simple", media)
    workflow[node_of(workflow, "LoadVideo")] = folder_of_clips
    error = client.run(workflow).error
    assert error["exception_message"].startswith("Lip Sync takes one clip at a time and a list of them came")
