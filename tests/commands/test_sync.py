"""``sync`` as a user meets it: what it writes, what it prints, and one sentence for everything it cannot do."""

import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from latentsync_core.__main__ import main
from latentsync_core.contact_sheet import CELL, COLUMNS, GAP, LABEL_WIDTH
from latentsync_core.demo import CLIP, VOICE
from latentsync_core.embedded import embedded_models
from latentsync_core.unet import save_unet

ROOT = Path(__file__).parents[2]
PROGRAM = (sys.executable, "-m", "latentsync_core")
QUICK = ("--checkpoint", "embedded", "--device", "cpu", "--steps", "1", "--guidance", "1", "--no-cache")
GENEROUS = 60  # seconds until a program under test counts as hung
posix = pytest.mark.skipif(os.name != "posix", reason="signals and limits of POSIX")


@pytest.fixture(autouse=True)
def log_as_before():
    """The command line sets up the library's logger for its process; the other tests get theirs back."""
    library = logging.getLogger("latentsync_core")
    before = library.handlers, library.level, library.propagate
    yield
    library.handlers, library.level, library.propagate = before


@pytest.fixture
def sync(tmp_path, capsys):
    """``sync("--steps", 2)`` on the demo clip and 0.24 s of voice, into tmp_path/out/result.mp4: (code, out, err).

    An option given again replaces the one before.
    """
    folder = tmp_path / "out"
    folder.mkdir()
    voice = cut_voice(tmp_path / "voice.wav", 0.24)

    def run(*options) -> tuple[int, str, str]:
        given = ("--video", CLIP, "--audio", voice, "--out", folder / "result.mp4", *QUICK, *options)
        try:
            code = main(["sync", *map(str, given)])
        except SystemExit as ended:  # as argparse refuses
            code = ended.code
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def refused(sync, tmp_path):
    """``refused("--audio", path)`` -> the sentence; asserts that there is exactly one, and that no file was made."""

    def run(*options) -> str:
        before = contents(tmp_path)
        code, out, err = sync(*options)
        assert code == 2 and out == ""
        sentences = [line for line in err.splitlines() if line.startswith("error: ")]
        assert len(sentences) == 1 and err.endswith(sentences[0] + "\n"), err
        assert "Traceback" not in err
        assert contents(tmp_path) == before
        return sentences[0]

    return run


def contents(folder: Path) -> dict[Path, int]:
    """Every file below `folder`, hidden ones too, and when it was last written."""
    return {path: path.lstat().st_mtime_ns for path in folder.rglob("*") if not path.is_dir()}


def cut_voice(path: Path, seconds: float) -> Path:
    """The first `seconds` of the demo voice, repeated if need be."""
    with wave.open(str(VOICE)) as source, wave.open(str(path), "wb") as target:
        target.setparams(source.getparams())
        piece = source.readframes(source.getnframes())
        size = round(seconds * source.getframerate()) * source.getsampwidth() * source.getnchannels()
        target.writeframes((piece * (size // len(piece) + 1))[:size])
    return path


def grey_clip(path: Path, frames: int) -> Path:
    """A video without a face, and without sound."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25, width=128, height=96, pix_fmt="yuv420p")
        for index in range(frames):
            picture = av.VideoFrame.from_ndarray(np.full((96, 128, 3), 90 + index, np.uint8)).reformat(format="yuv420p")
            picture.pts, picture.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def silence(path: Path, samples: int) -> Path:
    """A recording without a voice."""
    with wave.open(str(path), "wb") as target:
        target.setparams((1, 2, 16000, 0, "NONE", ""))
        target.writeframes(bytes(2 * samples))
    return path


# What a run leaves


def test_a_run_writes_video_report_and_contact_sheet_and_says_so(sync, tmp_path):
    out, report, sheet = (tmp_path / "out" / name for name in ("result.mp4", "report.json", "sheet.png"))
    code, printed, err = sync("--report", report, "--contact-sheet", sheet)
    assert code == 0
    assert re.fullmatch(rf"{re.escape(str(out))}: 6 frames at 25 fps, 6 synced, 0 untouched, in \d+\.\d s\.\n", printed)
    assert err.splitlines() == [
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
    with Image.open(sheet) as image:
        image.load()
        assert image.format == "PNG" and len(COLUMNS) == 6
        assert image.width == LABEL_WIDTH + 6 * (CELL + GAP) + GAP
        columns = [LABEL_WIDTH + column * (CELL + GAP) for column in range(6)]
        for left in columns:  # a picture in every column
            cell = np.asarray(image.crop((left, image.height - GAP - CELL, left + CELL, image.height - GAP)))
            assert cell.std() > 5


def test_a_narrow_checkpoint_of_ones_own_is_loaded_and_named(sync, tmp_path):
    path = tmp_path / "mine.safetensors"
    save_unet(embedded_models()[0], path, {"resolution": "128", "position_encoding": "on"})
    assert sync("--checkpoint", path, "--report", tmp_path / "r.json")[0] == 0
    told = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert told["models"]["unet"] == str(path) and told["settings"]["resolution"] == 128


def test_a_1_5_checkpoint_at_512_is_warned_about_and_run(sync, tmp_path):
    path = tmp_path / "latentsync_unet_1.5.safetensors"
    save_unet(embedded_models()[0], path)
    voice = cut_voice(tmp_path / "short.wav", 0.04)
    code, _, err = sync("--checkpoint", path, "--resolution", 512, "--audio", voice)
    assert code == 0
    warnings = [line for line in err.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 1
    assert "512 px" in warnings[0] and "latentsync_unet_1.5" in warnings[0] and "use 256" in warnings[0]
    assert err.index("warning: ") < err.index("Hearing the voice")


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
        ("truncated", "no known media format|cut short|no sound"),
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


# Values that cannot be


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--resolution", 200), "200 pixels.*multiple of 64"),
        (("--resolution", 0), "0 pixels.*multiple of 64"),
        (("--resolution", "large"), "--resolution is 'large'"),
        (("--window", 25), "window of 25 frames.*1 to 24"),
        (("--window", 0), "window of 0 frames.*1 to 24"),
        (("--steps", 0), "0 steps.*between 1 and 500"),
        (("--steps", 1000), "1000 steps.*between 1 and 500"),
        (("--guidance-start", 0.8, "--guidance-end", 0.2), "interval is 0.8 to 0.2.*start <= end"),
        (("--guidance", "nan"), "guidance scale is nan.*finite"),
        (("--guidance-rescale", 2), "rescale is 2.0.*between 0 and 1"),
        (("--seed", 2**64), "seed is 18446744073709551616.*between 0 and"),
        (("--seed", -1), "seed is -1.*between 0 and"),
        (("--fps", "fast"), "--fps is 'fast'.*25 or 30000/1001"),
        (("--fps", "0"), "--fps is '0'"),
        (("--crf", 52), "CRF of 52.*0 .*51"),
        (("--preset", "rushed"), "preset 'rushed'.*ultrafast"),
        (("--codec", "ffv1"), "mkv"),
        (("--device", "toaster"), "no device 'toaster'.*auto, cpu"),
        (("--device", "meta"), "no device 'meta'.*auto, cpu"),
    ],
)
def test_values_that_cannot_be(refused, options, said):
    assert re.search(said, refused(*options))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_a_device_that_is_not_there(refused):
    assert "There is no device 'cuda'" in refused("--device", "cuda")


def test_words_are_chosen_from_a_list(sync):
    code, _, err = sync("--solver", "guess")
    assert code == 2 and "invalid choice: 'guess'" in err and "ddim" in err


# Results that cannot be written


def test_an_existing_result_is_left_alone(refused, tmp_path):
    out = tmp_path / "out" / "result.mp4"
    out.write_bytes(b"precious")
    assert f"{out}: this file exists already" in refused()
    assert out.read_bytes() == b"precious"


def test_a_folder_that_is_not_there(refused, tmp_path):
    assert f"there is no folder {tmp_path / 'none'}" in refused("--out", tmp_path / "none" / "result.mp4")


def test_a_container_that_is_not_written(refused, tmp_path):
    assert "result.avi: the output ends in .avi; name it .mp4, .mov or .mkv" in refused(
        "--out", tmp_path / "out" / "result.avi"
    )


def test_a_result_that_is_its_own_source(refused, tmp_path):
    clip = tmp_path / "clip.mp4"
    shutil.copy(CLIP, clip)
    (tmp_path / "link.mp4").symlink_to(clip)
    for name in (clip, tmp_path / "link.mp4"):
        assert f"the same file as the input {clip}" in refused("--video", clip, "--out", name, "--overwrite")
    assert clip.read_bytes() == CLIP.read_bytes()


@pytest.mark.parametrize("option", ["--report", "--contact-sheet"])
def test_side_files_are_refused_before_the_work(refused, sync, tmp_path, option):
    suffix = ".json" if option == "--report" else ".png"
    assert "cannot be written" in refused(option, tmp_path / "none" / f"side{suffix}")
    assert f"is to be a {suffix} file" in refused(option, tmp_path / "side.txt")
    if Path("/proc").is_dir():  # a folder in which nobody, whoever they are, can make a file
        path = f"/proc/side{suffix}"
        assert f"{path}: no file can be made in its folder" in refused(option, path)
        assert "Hearing" not in sync(option, path)[2]


@posix
@pytest.mark.parametrize("limit", [4_000, 20_000])
def test_a_full_disk_is_said_and_leaves_nothing(tmp_path, limit):
    import resource

    voice = cut_voice(tmp_path / "voice.wav", 0.24)
    folder = tmp_path / "out"
    folder.mkdir()
    ended = subprocess.run(
        [*PROGRAM, "sync", "--video", CLIP, "--audio", voice, "--out", folder / "result.mp4", *QUICK],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=GENEROUS,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert ended.returncode == 2, ended.stderr
    last = ended.stderr.splitlines()[-1]
    assert last.startswith(f"error: {folder / 'result.mp4'}: the video could not be written (the disk is full")
    assert "Traceback" not in ended.stderr and list(folder.iterdir()) == []


# Stopping


def started(folder: Path, voice: Path, *options: str) -> subprocess.Popen:
    """The program at work on a whole clip."""
    given = ("--video", CLIP, "--audio", voice, "--out", folder / "result.mp4", *QUICK, *options)
    return subprocess.Popen([*PROGRAM, "sync", *given], cwd=ROOT, stderr=subprocess.PIPE, text=True)


@posix
def test_ctrl_c_stops_at_once_and_leaves_nothing(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    with started(folder, cut_voice(tmp_path / "voice.wav", 0.6), "--steps", "500") as process:
        for line in process.stderr:
            if line.startswith("Denoising"):
                break
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        begun = time.monotonic()
        rest = process.stderr.read()
        code = process.wait(GENEROUS)
        seconds = time.monotonic() - begun
    assert code == 130
    assert rest == "Stopped; no unfinished file is left behind.\n"
    assert seconds < 5  # about 1 on a quiet machine
    assert list(folder.iterdir()) == []


@posix
def test_a_kill_while_writing_leaves_nothing_under_the_name(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    with started(folder, cut_voice(tmp_path / "voice.wav", 2), "--preset", "placebo") as process:
        while not list(folder.iterdir()) and process.poll() is None:
            time.sleep(0.002)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert not (folder / "result.mp4").exists()
    assert [path.name.startswith(".latentsync-") for path in folder.iterdir()] == [True]


# The program around it


@pytest.mark.parametrize(
    "words", [[], ["sync"], ["demo"], ["doctor"], ["download"], ["bench"], ["bench", "faces"], ["bench", "memory"]]
)
def test_every_command_explains_itself(words, capsys):
    with pytest.raises(SystemExit) as ended:
        main([*words, "--help"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert printed.startswith("usage: ") and "--help" in printed


def test_without_a_command_it_says_how_it_is_used():
    ended = subprocess.run(PROGRAM, cwd=ROOT, capture_output=True, text=True, timeout=GENEROUS)
    assert ended.returncode == 2 and ended.stderr.startswith("usage: ") and "sync" not in ended.stdout


def test_help_is_quick_because_nothing_heavy_is_imported():
    script = (
        "import sys, latentsync_core.__main__ as program\n"
        "program.build_parser().format_help()\n"
        "print(*({'torch', 'diffusers', 'whisper', 'numpy', 'av', 'scipy', 'PIL'} & set(sys.modules)))"
    )
    begun = time.monotonic()
    ended = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=GENEROUS)
    assert ended.stdout == "\n", ended.stdout + ended.stderr
    assert time.monotonic() - begun < 5  # 0.2 on a quiet machine; torch alone takes longer than this allows


def test_demo_says_what_it_cannot_write(tmp_path, capsys):
    (tmp_path / "taken").write_text("a file")
    assert main(["demo", "--out", str(tmp_path / "taken")]) == 2
    assert capsys.readouterr().err.startswith(f"error: {tmp_path / 'taken'}: this folder cannot be made")
