"""A face is chosen on the canvas with the mouse or the keyboard, before a run and after it, in old and new nodes."""

import asyncio
import re
from fractions import Fraction

import av
import numpy as np
import pytest
from hands import MODES, click, drag, middle_of, open_page, press, wait_for

from latentsync_core.demo import CLIP
from latentsync_core.media import VideoReader

FRAMES, SIDE = 12, 320  # of the clip with two faces, 640 x 320
GRAPH = """(() => {
  const add = (type, x) => {
    const node = LiteGraph.createNode(type);
    node.pos = [x, 150];
    app.graph.add(node);
    return node;
  };
  const [clip, track, seen] = [add('LoadVideo', 100), add('LatentSyncFaceTrack', 500), add('PreviewImage', 950)];
  const file = clip.widgets.find(w => w.name === 'file');
  if (Array.isArray(file.options.values)) file.options.values.push('%s');
  file.value = '%s';
  track.setSize([360, track.size[1]]);
  track.widgets.find(w => w.name === 'max_gap').value = %d;
  clip.connect(0, track, 0);
  track.connect(1, seen, 0);
  app.canvas.ds.scale = 1;
  [app.canvas.ds.offset[0], app.canvas.ds.offset[1]] = [0, 0];
  app.canvas.setDirty(true, true);
  window.track = track;
  window.picker = track.latentsyncFacePicker;
})()"""
FACE = "track.widgets.find(w => w.name === 'face').value"

QUEUED = "(async () => (await app.graphToPrompt()).output[track.id].inputs)()"


@pytest.fixture(scope="module")
def two_faces(client, tmp_path_factory) -> str:
    """The portrait, and the portrait mirrored to the right of it."""
    path = tmp_path_factory.mktemp("pair") / "two_faces.mp4"
    with av.open(str(path), "w") as target, VideoReader(CLIP) as reader:
        stream = target.add_stream("libx264", rate=25, width=2 * SIDE, height=SIDE, pix_fmt="yuv420p")
        for index, frame in enumerate(reader.frames(0, FRAMES)):
            half = frame.rgb()[96 : 96 + SIDE, 96 : 96 + SIDE]
            picture = av.VideoFrame.from_ndarray(np.hstack([half, half[:, ::-1]]).copy(), "rgb24")
            picture.pts, picture.time_base = index, Fraction(1, 25)
            target.mux(stream.encode(picture.reformat(format="yuv420p")))
        target.mux(stream.encode(None))
    return client.upload(path)


@pytest.fixture(scope="module", params=list(MODES))
def seen(request, host, chromium, two_faces) -> dict:
    """What a user does in turn, and what the page has after each step."""
    return asyncio.run(visit(host.address, chromium, request.param, two_faces))


async def visit(address: str, chromium: str, mode: str, file: str) -> dict:
    seen = {}
    async with open_page(address, chromium, mode) as page:
        gap = list(MODES).index(mode)  # a run that the host has in its cache tells nobody what it showed
        await page.run(GRAPH % (file, file, gap))
        await middle_of(page, "picker.toggle")
        seen["height before"] = await page.run("track.size[1]")
        await click(page, await middle_of(page, "picker.toggle"))
        await wait_for(page, "picker.frames && picker.image.naturalWidth")
        seen["focusable"] = await page.run("[picker.stage.tabIndex, picker.slider.tabIndex]")
        seen["frames of the file"] = await page.run("picker.frames.length")

        await page.run("picker.stage.focus()")
        await press(page, "ArrowRight", "ArrowRight", "ArrowRight", "2")
        seen["a number before"] = await page.run(f"[{FACE}, picker.status.textContent]")
        await wait_for(page, "!picker.loading && picker.image.naturalWidth")
        seen["picture"] = await page.run("[picker.image.src, picker.image.naturalWidth, picker.image.naturalHeight]")
        await click(page, await middle_of(page, "picker.svg", 0.25, 0.5))
        seen["point"] = await page.run(FACE)
        corners = [await middle_of(page, "picker.svg", *place) for place in ((0.5, 0.0), (0.99, 0.99))]
        await drag(page, *corners)
        seen["box"] = await page.run(FACE)
        seen["place of the node"] = await page.run("[...track.pos]")

        await page.run("app.queuePrompt(0)")
        await wait_for(page, "picker.frames.persons.length")
        seen["persons"] = await page.run("[...picker.persons.children].map(b => b.textContent)")
        seen["meant by the box"] = await page.run(
            "(async () => (await app.graphToPrompt()).output[track.id].inputs.face)()"
        )
        seen["other pictures"] = await page.run("[track.imgs?.length ?? 0, document.querySelectorAll('video').length]")
        await click(page, await middle_of(page, "picker.svg", 0.25, 0.4))
        seen["face one"] = await page.run(FACE)
        await press(page, "2")
        seen["key two"] = await page.run(f"[{FACE}, picker.svg.querySelectorAll('.chosen').length]")
        await press(page, "9", "End")
        seen["key nine, end"] = await page.run(f"[{FACE}, picker.shown.frame, picker.slider.value]")
        await click(page, await middle_of(page, "picker.persons.children[0]"))
        seen["button auto"] = await page.run(f"[{FACE}, picker.persons.children[0].getAttribute('aria-pressed')]")
        await page.run("(w => { w.value = 'left'; w.callback?.('left') })(track.widgets.find(w => w.name === 'face'))")
        seen["typed"] = await page.run("[...picker.persons.children].filter(b => b.ariaPressed === 'true').length")

        seen["saved"] = await page.run("app.graph.serialize().nodes.find(n => n.id == track.id)")
        seen["queued"] = await page.run(QUEUED)
        await page.run("""(mask => mask.connect(1, track, track.inputs.findIndex(i => i.name === 'face_mask')))(
            app.graph.add(LiteGraph.createNode('LoadImage')) && app.graph.nodes.at(-1))""")
        await page.run("picker.draw()")
        await click(page, await middle_of(page, "picker.svg", 0.25, 0.4))
        seen["with a mask"] = await page.run(f"[{FACE}, picker.status.textContent]")
        await click(page, await middle_of(page, "picker.toggle"))
        await wait_for(page, "picker.root.getBoundingClientRect().height < 40")  # the page draws it a moment later
        seen["closed"] = await page.run("[picker.root.getBoundingClientRect().height, track.size[1]]")
    return seen


def test_before_a_run_every_frame_of_the_file_is_there_and_a_click_gives_a_place_in_it(seen):
    assert seen["frames of the file"] == FRAMES
    address, width, height = seen["picture"]
    assert address.endswith("index=3") and (width, height) == (2 * SIDE, SIDE)
    x, y = map(int, re.fullmatch(r"(\d+),(\d+)@3", seen["point"]).groups())
    assert abs(x - 160) <= 3 and abs(y - 160) <= 3
    x0, y0, x1, y1 = map(int, re.fullmatch(r"(\d+),(\d+),(\d+),(\d+)@3", seen["box"]).groups())
    assert abs(x0 - 320) <= 3 and y0 <= 3 and abs(x1 - 634) <= 4 and abs(y1 - 317) <= 4
    assert seen["place of the node"] == [500, 150], "the drag moved the node"


def test_numbers_are_for_persons_that_a_run_found(seen):
    face, said = seen["a number before"]
    assert face == "auto" and "run once" in said
    assert seen["persons"] == ["auto", "1", "2"]
    assert seen["face one"] == "1"
    assert seen["key two"] == ["2", 1]
    assert seen["key nine, end"] == ["2", FRAMES - 1, str(FRAMES - 1)]
    assert seen["button auto"] == ["auto", "true"]
    assert seen["typed"] == 0


def test_a_connected_mask_is_not_overruled(seen):
    face, said = seen["with a mask"]
    assert face == "left" and "face_mask is connected" in said


def test_the_run_takes_the_box_and_shows_its_pictures_once(seen):
    assert seen["meant by the box"] == seen["box"]
    pictures, videos = seen["other pictures"]
    assert pictures == 0 and videos <= 1  # the loader's own


def test_the_picker_is_reached_by_keys_and_leaves_no_trace(seen):
    assert seen["focusable"] == [0, 0]
    assert seen["saved"]["widgets_values"] in ([25, "smooth", 0.5, gap, "left", "pass"] for gap in range(len(MODES)))
    assert seen["saved"]["size"][1] == pytest.approx(seen["height before"], abs=2)
    assert "latentsync_faces" not in seen["queued"]
    height, of_node = seen["closed"]
    assert 0 < height < 40 and of_node < seen["height before"] + 80  # a line of text stays below it
