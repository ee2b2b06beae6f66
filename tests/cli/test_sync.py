"""``sync`` as a user meets it: what it writes and prints, and a sentence for media and models it cannot use."""

import json
import os
import re
import wave

import av
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from small_media import cut_voice, grey_clip, silence

from latentsync_core.demo import CLIP, VOICE
from latentsync_core.models.embedded import embedded_models
from latentsync_core.models.unet import save_unet
from latentsync_core.visualize.contact_sheet import (
    CELL,
    COLUMNS,
    GAP,
    LABEL_WIDTH,
)

# What a run leaves


@pytest.mark.long
def test_a_run_writes_video_report_and_contact_sheet_and_says_so(sync, tmp_path):
    out, report, sheet = (tmp_path / "out" / name for name in ("result.mp4", "report.json", "sheet.png"))
    code, printed, err = sync("--report", report, "--contact-sheet", sheet)
    assert code == 0
    assert re.fullmatch(rf"{re.escape(str(out))}: 6 frames at 25 fps, 6 synced, 0 untouched, in \d+\.\d s\.\n", printed)
    forecast = re.compile(r"Forecast: 6 frames in 1 window, (at most|another) \d+ s, \d+\.\d GiB RAM, no VRAM")
    lines = err.splitlines()
    assert lines.pop(0).startswith(f"Reading {CLIP} and ")
    assert forecast.fullmatch(lines.pop(0)) and forecast.fullmatch(lines.pop(2))
    assert lines == [
        "Hearing the voice ...",
        "Tracking the face ...",
        "Encoding faces ...",
        "Denoising ...",
        "Pasting and writing ...",
    ]
    assert {path.name for path in out.parent.iterdir()} == {"result.mp4", "report.json", "sheet.png"}
    with av.open(str(out)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 6
    told = json.loads(report.read_text(encoding="utf-8"))
    assert told["output"]["path"] == str(out) and told["settings"]["steps"] == 1 and told["warnings"] == []
    scores = told["scores"]
    assert "unmeasured" in scores or {"agreement", "offset_frames", "mouth"} <= scores.keys()
    with Image.open(sheet) as image:
        image.load()
        assert image.format == "PNG" and len(COLUMNS) == 6
        assert image.width == LABEL_WIDTH + 6 * (CELL + GAP) + GAP
        columns = [LABEL_WIDTH + column * (CELL + GAP) for column in range(6)]
        for left in columns:  # a picture in every column
            cell = np.asarray(image.crop((left, image.height - GAP - CELL, left + CELL, image.height - GAP)))
            assert cell.std() > 5


@pytest.mark.long
def test_a_narrow_checkpoint_of_ones_own_is_loaded_and_named(sync, tmp_path):
    path = tmp_path / "mine.safetensors"
    save_unet(embedded_models()[0], path, {"resolution": "128", "position_encoding": "on"})
    assert sync("--checkpoint", path, "--report", tmp_path / "r.json")[0] == 0
    told = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert told["models"]["unet"] == str(path) and told["settings"]["resolution"] == 128


@pytest.mark.long
def test_a_1_5_checkpoint_at_512_is_warned_about_and_run(sync, tmp_path):
    path = tmp_path / "latentsync_unet_1.5.safetensors"
    save_unet(embedded_models()[0], path)
    voice = cut_voice(tmp_path / "short.wav", 0.04)
    code, _, err = sync("--checkpoint", path, "--resolution", 512, "--audio", voice, "--window", 2)
    assert code == 0
    warnings = [line for line in err.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 1
    assert "512 px" in warnings[0] and "latentsync_unet_1.5" in warnings[0] and "use 256" in warnings[0]
    assert err.index("warning: ") < err.index("Hearing the voice")


@pytest.mark.long
def test_overwrite_replaces(sync, tmp_path):
    out = tmp_path / "out" / "result.mp4"
    out.write_bytes(b"something of old")
    assert sync("--overwrite")[0] == 0
    with av.open(str(out)) as container:
        assert container.streams.video


# Inputs that cannot be used


@pytest.mark.parametrize("option", ["--video", "--audio"])
@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("missing", "there is no such file"),
        ("empty", "is empty"),
        ("text", "text file"),
        ("truncated", "no known media format|truncated;|no sound"),
        ("folder", "is a folder"),
        ("unreadable", "not permitted"),
    ],
)
def test_files_that_are_no_media_are_named(refused, tmp_path, option, kind, said):
    path = tmp_path / ("input.mp4" if option == "--video" else "input.wav")
    if kind == "folder":
        path.mkdir()
    elif kind != "missing":
        whole = CLIP if option == "--video" else VOICE
        content = {"empty": b"", "text": b"just some words\n" * 9, "unreadable": whole.read_bytes()}
        path.write_bytes(content.get(kind, whole.read_bytes()[:30]))
    if kind == "unreadable":
        path.chmod(0)
        if os.access(path, os.R_OK):
            pytest.skip("this user may read everything")
    sentence = refused(option, path)
    assert str(path) in sentence and re.search(said, sentence)
    assert ("a video file is needed" if option == "--video" else "a voice recording is needed") in sentence


@pytest.mark.long
def test_a_video_without_a_face_says_where_it_looked(refused, tmp_path):
    path = grey_clip(tmp_path / "grey.mkv", 6)
    sentence = refused("--video", path)
    assert str(path) in sentence
    assert re.search(r"No face found in frames 0-5 .*best detector score 0\.\d\d, needed 0\.50", sentence)


def test_a_video_file_with_a_line_break_in_its_name_still_gives_one_line(refused, tmp_path):
    assert "two lines.mp4: there is no such file" in refused("--video", tmp_path / "two\nlines.mp4")


@pytest.mark.parametrize(
    ("samples", "said"), [(8000, "the recording is silent"), (0, "no sound that can be decoded|0 samples")]
)
def test_a_recording_without_a_voice(refused, tmp_path, samples, said):
    path = silence(tmp_path / "none.wav", samples)
    sentence = refused("--audio", path)
    assert str(path) in sentence and re.search(said, sentence)


def test_a_file_without_sound_is_no_voice(refused, tmp_path):
    path = grey_clip(tmp_path / "mute.mkv", 3)
    sentence = refused("--audio", path)
    assert str(path) in sentence and "no audio track in this file (only video)" in sentence


@pytest.mark.parametrize(("samples", "said"), [(160, "click.wav: .*at least 320"), (320, "less than one frame")])
def test_a_voice_too_short_for_a_frame(refused, tmp_path, samples, said):
    path = tmp_path / "click.wav"
    with wave.open(str(path), "wb") as target:
        target.setparams((1, 2, 16000, 0, "NONE", ""))
        target.writeframes(np.full(samples, 9000, np.int16).tobytes())
    assert re.search(said, refused("--audio", path))


# Checkpoints that cannot be used

FOREIGN = {
    "sd15.safetensors": (
        {"conv_in.weight": torch.zeros(32, 4, 3, 3), "down_blocks.0.resnets.0.conv2.weight": torch.zeros(32, 32, 3, 3)},
        r"a Stable Diffusion .*UNet \(4 input channels, no motion modules\)",
    ),
    "vae.pt": ({"decoder.up_blocks.0.resnets.0.conv1.weight": torch.zeros(8, 8, 3, 3)}, "is a VAE"),
    "lora.safetensors": ({"unet.to_q.lora_up.weight": torch.zeros(8, 4)}, "is a LoRA"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_models_of_another_kind_are_told_apart(refused, tmp_path, name):
    tensors, said = FOREIGN[name]
    path = tmp_path / name
    torch.save(tensors, path) if path.suffix == ".pt" else save_file(tensors, path)
    sentence = refused("--checkpoint", path)
    assert str(path) in sentence and re.search(said, sentence) and "a LatentSync UNet" in sentence


@pytest.mark.parametrize("name", ["notes.pt", "notes.safetensors", "absent.pt"])
def test_a_checkpoint_that_is_no_model_file(refused, tmp_path, name):
    path = tmp_path / name
    if not name.startswith("absent"):
        path.write_text("just some words\n" * 9)
    sentence = refused("--checkpoint", path)
    assert str(path) in sentence and "a .pt or .safetensors file is needed" in sentence.replace(
        "a model file (.pt or .safetensors) is needed", "a .pt or .safetensors file is needed"
    )


def test_a_checkpoint_that_does_not_fit_is_counted_and_listed(refused, tmp_path):
    unet = embedded_models()[0]
    state = unet.state_dict()
    lost = [name for name in state if name.startswith("mid_block.")][:5]
    extra = {f"teeth.{number}": torch.zeros(1) for number in range(4)}
    bent = {"conv_out.weight": torch.zeros(4, 32, 1, 1)}
    tensors = {name: tensor for name, tensor in state.items() if name not in lost} | extra | bent
    path = tmp_path / "bent.safetensors"
    save_file(tensors, path, {"latentsync.config": json.dumps(unet.config.to_dict())})
    sentence = refused("--checkpoint", path)
    assert str(path) in sentence
    assert f"5 missing ({', '.join(lost[:3])})" in sentence
    assert "4 unexpected (teeth.0, teeth.1, teeth.2)" in sentence and "teeth.3" not in sentence
    assert "1 mis-shaped (conv_out.weight (4, 32, 1, 1) instead of (4, 32, 3, 3))" in sentence


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({"config": "{bad"}, "'config' is damaged"),
        ({"config": "[1, 2]"}, "'config' is damaged"),
        ({"config": '{"teeth": 32}'}, "unknown keys teeth"),
        ({"config": '{"in_channels": "many"}'}, "many"),
        ({"resolution": "big"}, "resolution 'big'"),
        ({"resolution": "100"}, "100 pixels"),
    ],
)
def test_a_checkpoint_that_misdescribes_itself(refused, tmp_path, entries, said):
    path = tmp_path / "odd.safetensors"
    unet = embedded_models()[0]
    save_unet(unet, path, {"position_encoding": "off", **entries})
    sentence = refused("--checkpoint", path)
    assert said in sentence and (str(path) in sentence or "resolution" in entries)


@pytest.mark.parametrize("option", ["--vae", "--whisper"])
def test_a_unet_is_neither_vae_nor_whisper(refused, tmp_path, option):
    path = tmp_path / "unet.safetensors"
    save_unet(embedded_models()[0], path)
    assert re.search(rf"{path} is no (Stable Diffusion VAE|Whisper model)", refused(option, path))
