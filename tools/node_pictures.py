"""Draw the pictures of the help pages: every node in a graph that has run, wired, with its result.

    python tools/node_pictures.py LatentSyncFaceBlend LatentSyncSample --server http://127.0.0.1:8188

A development tool; it needs what screenshot_workflow.py needs, and no models but the embedded ones. One workflow that
uses all nodes runs once, in the page; of it every picture shows one node, what is linked to it, and what that shows.
Without names it draws every node that has a help page.
"""

import argparse
import asyncio
import json
import sys
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
sys.path.insert(0, str(CHECKOUT))  # the parts read this checkout's catalogue of published files

from build_workflows import fetch  # noqa: E402
from PIL import Image  # noqa: E402
from screenshot_workflow import find_chromium, open_comfyui  # noqa: E402
from workflow_builder import Workflow  # noqa: E402
from workflow_parts import (  # noqa: E402
    EMBEDDED,
    conditioning,
    embedded_models,
    sample,
    sample_inputs,
    save,
    track_and_encode,
)

DOCS = CHECKOUT / "web" / "docs"
PICTURE_WIDTH = 1000  # pixels
MOST_BYTES = 100_000  # of a picture
STEPS = 4
SHOWN_FURTHER = {"VAEDecode": ("PreviewImage",)}  # what is linked to a neighbour and shows its result
# Ids as text: newer pages keep them so.
LINKS = """[...app.graph.links.values()].map(
  l => [String(l.origin_id), l.origin_slot, String(l.target_id), l.target_slot])"""
ARRANGE = """(async () => {
  const all = %s, number = '%d', further = %s, nodes = new Map(app.graph.nodes.map(n => [String(n.id), n]));
  const middle = nodes.get(number), shows = n => n.type.startsWith('Preview') || n.type === 'SaveVideo';
  const left = all.filter(l => l[2] === number).map(l => l[0]);
  const right = all.filter(l => l[0] === number).map(l => l[2]);
  for (const id of [...right])
    for (const l of all)
      if (l[0] === id && further[nodes.get(id).type]?.includes(nodes.get(l[2]).type)) right.push(l[2]);
  const shown = new Set([...left, number, ...right]);
  for (const node of nodes.values()) node.inputs?.forEach((input, slot) => node.disconnectInput(slot));
  for (const [from, slot, to, input] of all)
    if (shown.has(from) && shown.has(to) && (from === number || to === number || right.includes(from)))
      nodes.get(from).connect(slot, nodes.get(to), input);
  for (const node of nodes.values()) node.pos = [100000, 0];
  for (const group of [...app.graph.groups]) app.graph.remove(group);
  const place = (node, x, y, open) => {
    node.flags.collapsed = !open;
    node.whole ??= node.title;
    node.title = open ? node.whole : node.whole.replace('LatentSync ', '');  // longer ones are cut off
    node.pos = [x, y];
    if (!open) return y + 54;
    const pictures = node.imgs?.length || node.type === 'SaveVideo' ? 300 : node.type === 'PreviewAny' ? 220 : 0;
    node.setSize([360, node.computeSize()[1] + pictures]);
    return y + node.size[1] + 54;
  };
  let y = 0;
  for (const id of new Set(left)) y = place(nodes.get(id), 0, y, false);
  place(middle, left.length ? 330 : 0, 0, true);
  y = 0;
  const x = (left.length ? 330 : 0) + 430;
  for (const id of new Set(right)) y = place(nodes.get(id), x, y, shows(nodes.get(id)));
  app.canvas.deselectAll();
  app.canvas.setDirty(true, true);
  await new Promise(resolve => setTimeout(resolve, 800));  // widgets and pictures settle
  return [...shown];
})()"""


def describe(w: Workflow) -> None:
    """A workflow with every node, on the packaged clip, voice and models."""
    video, audio = sample_inputs(w)
    model, whisper, vae = embedded_models(w)
    sized = {"resolution": model["resolution"]}
    w.column("At once")
    few = {"steps": STEPS, "preset": "preview"}
    spoken = w.add(
        "LatentSyncLipSync", video=video, audio=audio, model=model["model"], whisper=whisper, vae=vae, **sized, **few
    )
    save(w, spoken, "pictures_lipsync")
    musetalk = w.add("LatentSyncLoadMuseTalkModel", checkpoint=EMBEDDED)
    ears = w.add("LatentSyncLoadWhisper", whisper=EMBEDDED, generator="musetalk")
    heard = {"whisper": ears, "vae": vae, "resolution": musetalk["resolution"]}
    redrawn = w.add("LatentSyncLipSync", video=video, audio=audio, model=musetalk["model"], **heard)
    save(w, redrawn, "pictures_musetalk")
    faces, latents, chunks = track_and_encode(w, video, audio, model, whisper, vae)
    w.add("PreviewImage", images=latents["crops"])
    tokens, conditioned = conditioning(w, latents, chunks, model)
    w.column("Sampled")
    reused = w.add("LatentSyncFeatureReuse", model=model["model"])
    options = w.add("LatentSyncGuidanceOptions")
    sampled = sample(w, {"model": reused}, conditioned, steps=STEPS, guidance_options=options)
    w.add("PreviewImage", images=w.add("VAEDecode", samples=sampled, vae=vae))
    blended = w.add("LatentSyncFaceBlend", faces=faces["faces"], tokens=tokens, latent=sampled, vae=vae)
    save(w, blended["video"], "pictures_blend")
    w.column("By ComfyUI's own sampler")
    sigmas = w.add("LatentSyncSigmas", steps=STEPS)
    sides = {"positive": conditioned["positive"], "negative": conditioned["negative"]}
    custom = w.add(
        "SamplerCustomAdvanced",
        noise=w.add("LatentSyncNoise", sigmas=sigmas),
        guider=w.add("CFGGuider", model=model["model"], cfg=1.0, **sides),
        sampler=w.add("KSamplerSelect", sampler_name="euler"),
        sigmas=sigmas,
        latent_image=conditioned["latent"],
    )
    w.add("PreviewImage", images=w.add("VAEDecode", samples=custom["output"], vae=vae))
    w.column("Beside one another")
    drafted = w.add("LatentSyncDraft", faces=faces["faces"], tokens=tokens)
    save(w, drafted["video"], "pictures_draft")
    w.add("PreviewAudio", audio=w.add("LatentSyncVideoVoice", video=blended["video"]))
    score = w.add("LatentSyncSyncScore", video=blended["video"], source=video)
    w.add("PreviewImage", images=score["plot"])
    w.add("PreviewAny", source=score["text"])
    compared = w.add("LatentSyncCompareVideos", a=drafted["video"], b=blended["video"], labels="draft\nLatentSync")
    save(w, compared, "pictures_compare")


async def draw(names: list[str], server: str) -> None:
    """Write web/docs/NAME.jpg for every name."""
    workflow = Workflow("pictures", fetch(f"{server}/object_info"))
    describe(workflow)
    numbers = {node.type: node.id for node in reversed(workflow.nodes)}  # of several, the first
    async with open_comfyui(server, find_chromium()) as page:
        await page.load(workflow.canvas())
        await page.run_to_its_end()
        links = await page.run(LINKS)
        for name in names:
            shown = await page.run(ARRANGE % (json.dumps(links), numbers[name], json.dumps(SHOWN_FURTHER)))
            await page.picture(DOCS / f"{name}.jpg", PICTURE_WIDTH, shown)
            shrink(DOCS / f"{name}.jpg")
            print(f"{name}.jpg written")


def shrink(path: Path) -> None:
    """Write a picture that is too heavy again, as well as its bytes allow."""
    with Image.open(path) as picture:
        drawn = picture.convert("RGB")
    for quality in range(80, 30, -5):
        if path.stat().st_size <= MOST_BYTES:
            return
        drawn.save(path, quality=quality, optimize=True, progressive=True)


def main() -> int:
    """Draw the nodes that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("nodes", nargs="*", help="node ids; all with a help page if none is named")
    parser.add_argument("--server", default="http://127.0.0.1:8188", help="address of ComfyUI (%(default)s)")
    arguments = parser.parse_args()
    names = arguments.nodes or sorted(path.stem for path in DOCS.glob("*.md"))
    asyncio.run(draw(names, arguments.server.rstrip("/")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
