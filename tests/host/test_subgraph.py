"""The staged graph as a subgraph that the host lists among its nodes: placed, connected, run."""

import asyncio
import json
from pathlib import Path

import pytest

(SUBGRAPH,) = (Path(__file__).parents[2] / "subgraphs").glob("*.json")
LISTED_SECONDS = 30  # the page fetches subgraphs after everything else
STORES = "document.querySelector('#vue-app').__vue_app__.config.globalProperties.$pinia._s"
FIND = f"{STORES}.get('subgraph').subgraphBlueprints.find(known => known.display_name === %s)"
PLACE = """(async () => {
  const subgraphs = %s.get('subgraph'), {nodes, definitions} = subgraphs.getBlueprint(%s.name);
  app.graph.clear();
  app.canvas._deserializeItems({nodes, subgraphs: definitions.subgraphs}, {position: [500, 0]});
  const [stages] = app.graph.nodes;
  const add = (type, widget) => {
    const node = LiteGraph.createNode(type);
    app.graph.add(node);
    if (widget) node.widgets.find(known => known.name === widget).value = 'embedded (one portrait)';
    return node;
  };
  const into = (name, node, output = 0) => node.connect(output, stages, stages.inputs.findIndex(i => i.name === name));
  const sample = add('LatentSyncSample');
  into('video', sample);
  into('audio', sample, 1);
  into('model', add('LatentSyncLoadModel', 'checkpoint'));
  into('whisper', add('LatentSyncLoadWhisper', 'whisper'));
  into('vae', add('LatentSyncLoadVAE', 'vae'));
  stages.connect(0, add('SaveVideo'), 0);
  stages.widgets.find(known => known.name === 'steps').value = 1;
  return {widgets: stages.widgets.map(known => known.name), api: (await app.graphToPrompt()).output};
})()"""


@pytest.fixture(scope="module")
def placed(host, chromium) -> dict:
    """The widgets of the subgraph's node, and what a click on Run would queue with the packaged clip and models."""
    from screenshot_workflow import open_comfyui

    find = FIND % json.dumps(SUBGRAPH.stem)

    async def place():
        async with open_comfyui(host.address, chromium) as page:
            for _ in range(LISTED_SECONDS):
                if await page.run(f"Boolean({find})"):
                    return await page.run(PLACE % (STORES, find))
                await asyncio.sleep(1)
        raise AssertionError(f"the page does not list {SUBGRAPH.stem}")

    return asyncio.run(place())


def test_few_inputs_are_outside(placed):
    assert placed["widgets"] == ["face", "steps", "guidance", "seed"]


def test_it_runs_with_the_values_of_its_own_widgets(client, placed):
    (sampler,) = [node for node in placed["api"].values() if node["class_type"] == "LatentSyncSampler"]
    assert (sampler["inputs"]["steps"], sampler["inputs"]["guidance"]) == (1, 1.5)
    done = client.run(placed["api"])
    assert done.error is None, done.error["exception_message"]
    assert [file.suffix for file in done.files] == [".mp4"]
