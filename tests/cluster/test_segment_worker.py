"""A worker makes the same part whichever segment it is asked for first, and wherever it has the video from."""

from dataclasses import replace

import pytest
from sleeping_generator import SleepingChoice, limit_files

from latentsync_core.audio import FeatureArray
from latentsync_core.cluster.segment_worker import ClipOrder, Refusal, SegmentWorker
from latentsync_core.generators.choice import GeneratorChoice
from latentsync_core.options import EncodeSettings, Guidance
from latentsync_core.pipeline.lipsync import plan_for_face, track_inputs
from latentsync_core.pipeline.plan import Inputs
from latentsync_core.pipeline.voice import encode_voice
from latentsync_core.progress import Callbacks
from latentsync_core.settings import Settings

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def order(media, tmp_path_factory) -> ClipOrder:
    """Seven frames shown forth and back in six segments, by the embedded model."""
    choice = GeneratorChoice(checkpoint="embedded", device="cpu")
    settings = Settings(steps=1, guidance=Guidance(1.0), window=2, encode=EncodeSettings(preset="ultrafast"))
    generator = choice.load(settings)
    settings = replace(settings, resolution=generator.working_resolution(None))
    inputs = Inputs.probe(*media)
    voice = encode_voice(inputs.voice, generator.audio_encoder, settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("latentsync_core.generators.segments.SEGMENT_FRAMES", 2)
        tracked = track_inputs(inputs, generator, settings, voice, Callbacks())
        plan, generator = plan_for_face(inputs, tracked, voice, settings, generator)
    return ClipOrder.of(plan, voice, choice, generator.name, tmp_path_factory.mktemp("order") / "out.mp4")


@pytest.fixture(scope="module")
def parts(order) -> dict[int, bytes]:
    """Some segments, made in their order."""
    worker = SegmentWorker(order, [])
    return {index: worker.make(index).content for index in (0, 1, 4)}


def test_backwards_and_again_gives_the_same_parts(order, parts):
    worker = SegmentWorker(order, [])
    for index in (4, 1, 1):
        assert worker.make(index).content == parts[index], index


def test_a_machine_without_the_file_reads_the_bytes_it_is_given(cluster, order, parts):
    import ray

    absent = replace(order, video=replace(order.video, path=order.video.path.with_name("not-on-this-machine.mkv")))
    worker = SegmentWorker(absent, [ray.put(order.video.path.read_bytes())])
    assert worker.make(1).content == parts[1]


def test_what_a_user_can_mend_comes_back_as_a_sentence_and_the_worker_goes_on(order, parts, tmp_path):
    choice = SleepingChoice(tmp_path)
    choice.fault(1, "disk")
    worker = SegmentWorker(replace(order, choice=choice, name="sleeping"), [])
    try:
        refused = worker.make(1)
    finally:
        limit_files(None)
    assert isinstance(refused, Refusal) and "the disk is full or the file grew too large" in refused.reason
    assert worker.make(1).content


def test_the_features_are_those_of_the_voice(order):
    shared = order.clip.features
    assert isinstance(shared, FeatureArray) and len(shared) == shared.shape[0]
    assert shared.nbytes == shared.shape.numel() * 4
    assert (shared[3:9] == shared[0 : len(shared)][3:9]).all()
