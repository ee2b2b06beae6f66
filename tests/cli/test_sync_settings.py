"""One sentence for every setting and every target that ``sync`` cannot serve."""

import re
import shutil
from pathlib import Path

import pytest
import torch

from latentsync_core.demo import CLIP

# Values that cannot be


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--silence", "keep", "--blend", "reference"), "fades to the filmed mouth.*choose the mouth blend"),
        (("--offset", 1500), "1500 ms later than the sound; -1000 to 1000"),
        (("--audio-track", 2), "no audio track is '2'; choose one of them: 1 .no language, mono, 22050 Hz"),
        (("--resolution", 200), "200 pixels.*multiple of 64"),
        (("--resolution", 0), "0 pixels.*multiple of 64"),
        (("--resolution", "large"), "--resolution is 'large'"),
        (("--window", 25), "window of 25 frames.*1 to 24"),
        (("--window", 0), "window of 0 frames.*1 to 24"),
        (("--overlap", 9), "overlap of 9 frames.*windows of 16 can share 0 to 8"),
        (("--overlap", -1), "overlap of -1 frames"),
        (("--reuse", 0), "every 0 steps; 1 .at every step. to 500"),
        (("--reuse-null", -2), "every -2 steps"),
        (("--windows-at-once", 0), "0 windows are to be denoised at once; choose 1 to 64, or auto"),
        (("--windows-at-once", "few"), "'few' windows are to be denoised at once"),
        (("--steps", 0), "0 steps.*between 1 and 500"),
        (("--steps", 1000), "1000 steps.*between 1 and 500"),
        (("--guidance-start", 0.8, "--guidance-end", 0.2), "interval is 0.8 to 0.2.*start <= end"),
        (("--guidance", "nan"), "guidance scale is nan.*finite"),
        (("--guidance-rescale", 2), "rescale is 2.0.*between 0 and 1"),
        (("--seed", 2**64), "seed is 18446744073709551616.*between 0 and"),
        (("--seed", -1), "seed is -1.*between 0 and"),
        (("--fps", "fast"), "--fps is 'fast'.*25 or 30000/1001"),
        (("--fps", "0"), "--fps is '0'"),
        (("--cache-limit", "0"), "--cache-limit is '0'.*gigabytes above 0"),
        (("--cache-limit", "8GB"), "--cache-limit is '8GB'.*such as 8"),
        (("--crf", 52), "CRF of 52.*0 .*51"),
        (("--encoder-preset", "rushed"), "preset 'rushed'.*ultrafast"),
        (("--preset", "rushed"), "Preset 'rushed' is unknown; choose one of reference, published"),
        (("--codec", "ffv1"), "mkv"),
        (("--feather", -1), "feather is -1.0 percent.*0 to 20"),
        (("--grow", 40), "grow by 40.0 percent.*-20 to 20"),
        (("--mask", "meshed"), "meshed: this mask cannot be read.*fixed, mesh or a grey PNG"),
        (("--max-yaw", "nan"), "yaw of nan.*0 to 180"),
        (("--ease", "-1"), "ease over -1 frames"),
        (("--audio-codec", "pcm"), r"voice\.wav: pcm audio cannot be written to \.mp4; choose aac, alac"),
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
