"""Workflows written as Python: the server runs their API form, and the page reads their canvas form the same way."""

import asyncio

import pytest

BUTTONS = {"upload", "audioUI", "video-preview"}  # what the page itself adds to nodes and queues along


@pytest.fixture
def workflow(object_info):
    from workflow_builder import Workflow

    return Workflow("under test", object_info)


@pytest.fixture(scope="module")
def uploaded(client):
    from latentsync_core.demo import CLIP, VOICE

    return client.upload(CLIP), client.upload(VOICE)


def describe_media(w, uploaded):
    """Files in and out, groups, notes, a link that its type finds and one named, an optional socket."""
    clip, voice = uploaded
    w.column("Inputs")
    video = w.add("LoadVideo", file=clip)
    audio = w.add("LoadAudio", audio=voice)
    w.column("Work")
    parts = w.add("GetVideoComponents", video=video)
    frames = w.add("ImageFromBatch", image=parts, length=4).look(title="First four frames")
    w.note("## Four frames\nare enough to see that it works.")
    w.column("Result")
    joined = w.add("CreateVideo", images=frames, fps=parts["fps"], audio=audio)
    w.add("SaveVideo", video=joined, filename_prefix="video/built")


def describe_sampling(w, uploaded):
    """A seed with its control widget in the middle of others, multiline texts, a dynamic combo."""
    w.column("Model")
    clip = w.add("CheckpointLoaderSimple")
    w.column()
    text = w.add("CLIPTextEncode", clip=clip, text="one\ntwo")
    size = w.add("EmptyLatentImage", width=64, height=128)
    w.column()
    latent = w.add(
        "KSampler",
        model=clip,
        positive=text,
        negative=text,
        latent_image=size,
        seed=7,
        sampler_name="ddim",
        denoise=0.5,
    )
    image = w.add("VAEDecode", samples=latent, vae=clip)
    w.column()
    half = {"resize_type": "scale longer dimension", "resize_type.longer_size": 32, "scale_method": "bicubic"}
    w.add("PreviewImage", images=w.add("ResizeImageMaskNode", input=image, **half))


def test_the_api_form_runs(client, workflow, uploaded):
    describe_media(workflow, uploaded)
    run = client.run(workflow.api())
    assert run.error is None
    assert [path.name for path in run.files] == ["built_00001_.mp4"] and run.files[0].stat().st_size > 1000


@pytest.mark.parametrize("describe", [describe_media, describe_sampling])
def test_the_page_reads_the_canvas_form_as_the_api_form(host, workflow, uploaded, describe, chromium):
    from screenshot_workflow import open_comfyui

    describe(workflow, uploaded)

    async def load():
        async with open_comfyui(host.address, chromium) as page:
            return await page.load(workflow.canvas())

    seen = asyncio.run(load())
    assert seen.faults == []
    expected = workflow.api()
    assert seen.api.keys() == expected.keys()
    for node, entry in expected.items():
        assert seen.api[node]["class_type"] == entry["class_type"] and seen.api[node]["_meta"] == entry["_meta"]
        found = {name: value for name, value in seen.api[node]["inputs"].items() if name in entry["inputs"]}
        assert found == entry["inputs"]
        assert seen.api[node]["inputs"].keys() - entry["inputs"].keys() <= BUTTONS


@pytest.mark.parametrize(
    ("node", "values", "message"),
    [
        ("NoSuchNode", {}, "the server knows no node 'NoSuchNode'"),
        ("EmptyLatentImage", {"wide": 8}, "has no input 'wide'; it has: width, height, batch_size"),
        ("VAEDecode", {}, "VAEDecode needs samples, vae"),
        ("SaveVideo", {"video": 3}, "is a socket for VIDEO; 3 is no node"),
        ("ImageScale", {"crop": "left", "image": 1}, "offers ['disabled', 'center'], not 'left'"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(workflow, node, values, message):
    with pytest.raises(ValueError) as refusal:
        workflow.add(node, **values)
    assert message in str(refusal.value)


def test_a_link_of_the_wrong_type_is_refused(workflow):
    latent = workflow.add("EmptyLatentImage")
    with pytest.raises(ValueError, match="EmptyLatentImage has 0 outputs for PreviewImage.images"):
        workflow.add("PreviewImage", images=latent)
    with pytest.raises(ValueError, match="PreviewImage.images takes IMAGE, EmptyLatentImage gives LATENT"):
        workflow.add("PreviewImage", images=latent["LATENT"])
