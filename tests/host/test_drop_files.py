"""A file dropped on a node of ours is loaded by a node that is connected to it, in old and new nodes."""

import asyncio

import pytest
from hands import MODES, drop, open_page, wait_for

from latentsync_core.demo import CLIP, VOICE

NODE = """(() => {
  window.ours = LiteGraph.createNode('LatentSyncLipSync');
  ours.pos = [700, 200];
  app.graph.add(ours);
  app.canvas.ds.scale = 1;
  [app.canvas.ds.offset[0], app.canvas.ds.offset[1]] = [0, 0];
  app.canvas.setDirty(true, true);
})()"""
STATE = """app.graph.nodes.map(n => ({
  type: n.type, file: n.widgets?.[0]?.value, at: [n.pos[0], n.pos[1] - 30], size: [n.size[0], n.size[1] + 30],
  to: (n.outputs ?? []).flatMap(o => o.links ?? []).map(id => app.graph.links.get?.(id) ?? app.graph.links[id])
    .map(link => [link.target_id === ours.id, ours.inputs[link.target_slot].name]),
}))"""
ON_NODE = (850.0, 260.0)


@pytest.fixture(scope="module", params=list(MODES))
def states(request, host, chromium, short_clip, tmp_path_factory) -> list[list[dict]]:
    """The nodes of the graph after each of some drops: a clip, a voice, another clip, a text, and both at once."""
    notes = tmp_path_factory.mktemp("text") / "notes.txt"
    notes.write_text("nothing to play")
    other = host.base / "input" / short_clip

    async def shown(page, *files) -> list[dict]:
        """Drop files, and wait until each is loaded; a text will not be."""
        await drop(page, ON_NODE, *files)
        for file in files:
            if file != notes:
                await wait_for(page, f"app.graph.nodes.some(n => n.widgets?.[0]?.value === {file.name!r})")
        await asyncio.sleep(1)
        return await page.run(STATE)

    async def visit():
        async with open_page(host.address, chromium, request.param) as page:
            await page.run(NODE)
            await asyncio.sleep(1)
            states = [await shown(page, file) for file in (CLIP, VOICE, other, notes)]
            await page.run("app.graph.clear()")
            await page.run(NODE)
            await asyncio.sleep(1)
            return [*states, await shown(page, VOICE, CLIP)]

    return asyncio.run(visit())


def loaders(state: list[dict]) -> dict[str, tuple]:
    return {node["type"]: (node["file"], node["to"]) for node in state if node["type"].startswith("Load")}


def test_a_clip_and_a_voice_are_connected_to_their_inputs(states, host):
    first, second, *_ = states
    video, audio = (CLIP.name, [[True, "video"]]), (VOICE.name, [[True, "audio"]])
    assert loaders(first) == {"LoadVideo": video}
    assert loaders(second) == {"LoadVideo": video, "LoadAudio": audio}
    assert (host.base / "input" / CLIP.name).read_bytes() == CLIP.read_bytes()


def test_another_clip_goes_into_the_same_loader_and_a_text_changes_nothing(states, short_clip):
    third, fourth = states[2:4]
    assert len(third) == 3 and loaders(third)["LoadVideo"] == (short_clip, [[True, "video"]])
    assert loaders(fourth) == loaders(third) and len(fourth) == 3


def test_two_files_at_once_fill_both_inputs(states):
    assert loaders(states[4]) == {
        "LoadVideo": (CLIP.name, [[True, "video"]]),
        "LoadAudio": (VOICE.name, [[True, "audio"]]),
    }


def test_no_node_is_put_over_another(states):
    from screenshot_workflow import overlap

    for state in states:
        pairs = [(a, b) for place, a in enumerate(state) for b in state[:place] if overlap(a, b)]
        assert pairs == []
