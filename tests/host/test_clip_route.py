"""The page is shown any frame of a file in the host's folders, and of no other."""

import io
import json
import urllib.error
import urllib.parse
import urllib.request

import numpy as np
import pytest
from PIL import Image

from latentsync_core.demo import CLIP
from latentsync_core.media import VideoReader


def get(host, what: str, **query) -> bytes:
    with urllib.request.urlopen(
        f"{host.address}/latentsync/{what}?{urllib.parse.urlencode(query)}", timeout=60
    ) as reply:
        return reply.read()


def refusal(host, what: str, **query) -> tuple[int, str]:
    with pytest.raises(urllib.error.HTTPError) as refused:
        get(host, what, **query)
    return refused.value.code, refused.value.read().decode()


def test_a_clip_tells_its_frames_and_shows_each(host, client):
    name = client.upload(CLIP, "clips")
    assert name == "clips/clip.mp4"
    about = json.loads(get(host, "clip", file=name))
    assert {key: about[key] for key in ("frames", "width", "height", "fps")} == {
        "frames": 150, "width": 512, "height": 512, "fps": 25.0,
    }  # fmt: skip
    with VideoReader(CLIP) as reader:
        (truth,) = reader.frames_at([77])
    shown = np.asarray(Image.open(io.BytesIO(get(host, "frame", file=f"{name} [input]", index=77))), float)
    assert np.abs(shown - truth.rgb()).mean() < 3  # JPEG
    assert get(host, "frame", index=77) == get(host, "frame", file=name, index=77)  # the packaged clip is that file


def test_what_is_not_there_or_no_video_is_refused_in_a_sentence(host, client, short_voice, tmp_path):
    (host.base / "secret.mp4").write_bytes(CLIP.read_bytes())
    for name in ("../secret.mp4", str(host.base / "secret.mp4"), "nowhere.mp4", "../input", "."):
        code, said = refusal(host, "clip", file=name)
        assert code == 404 and "There is no file" in said
    code, said = refusal(host, "clip", file=short_voice)
    assert code == 400 and "a video file is needed" in said and str(host.base) not in said
    name = client.upload(CLIP)
    for index, expected in (("150", "it has 150"), ("-1", "no number"), ("x", "no number")):
        code, said = refusal(host, "frame", file=name, index=index)
        assert code == 400 and expected in said
