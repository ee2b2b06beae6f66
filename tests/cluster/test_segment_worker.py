"""A worker makes the same part whichever segment it is asked for first, and wherever it has the video from."""

import pickle
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sleeping_generator import SleepingChoice, SleepingGeneration, limit_files

from latentsync_core.audio import FeatureArray
from latentsync_core.cluster.segment_worker import ClipOrder, Refusal, SegmentWorker
from latentsync_core.generators.choice import GeneratorChoice
from latentsync_core.generators.latentsync.generator import LatentSyncGeneration
from latentsync_core.options import EncodeSettings, Guidance
from latentsync_core.pipeline.lipsync import plan_for_face, track_inputs
from latentsync_core.pipeline.plan import Inputs
from latentsync_core.pipeline.voice import encode_voice
from latentsync_core.progress import Callbacks
from latentsync_core.settings import Settings

pytestmark = pytest.mark.long

GENEROUS = 60  # seconds until a thread counts as hung


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
    """Some segments, made in their order, by a worker that was sent its order."""
    worker = SegmentWorker(pickle.loads(pickle.dumps(order)), [])
    return {index: worker.make(index).content for index in (0, 1, 4)}


def test_backwards_and_again_gives_the_same_parts(order, parts):
    worker = SegmentWorker(order, [])
    for index in (4, 1, 1):
        assert worker.make(index).content == parts[index], index


def test_two_at_once_give_the_same_parts_while_their_stages_overlap(order, parts, monkeypatch):
    spans = []

    def noted(stage: str):
        made = getattr(SleepingGeneration, stage)

        def work(self, segment, *rest):
            started = time.monotonic()
            try:
                return made(self, segment, *rest)
            finally:
                spans.append((stage, segment.index, started, time.monotonic()))

        return work

    worker = SegmentWorker(order, [])
    with ThreadPoolExecutor(2) as pool:
        made = dict(zip((0, 1, 4), pool.map(worker.make, (0, 1, 4)), strict=True))
        assert {index: part.content for index, part in made.items()} == parts
        backwards = list(pool.map(worker.make, (4, 1, 0)))
    assert [part.content for part in backwards] == [parts[index] for index in (4, 1, 0)]

    for stage in ("encode", "generate"):
        monkeypatch.setattr(SleepingGeneration, stage, noted(stage))
    folder = order.target.parent
    asleep = SegmentWorker(replace(order, choice=SleepingChoice(folder, seconds=0.3), name="sleeping"), [])
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(asleep.make, range(4)))
    taken = {(stage, index): (start, stop) for stage, index, start, stop in spans}
    assert len(taken) == 8
    overlaps = sum(taken["encode", index + 1][0] < taken["generate", index][1] for index in range(3))
    assert overlaps >= 2, "segments are read while others are generated"
    for index in range(3):
        assert taken["generate", index][1] <= taken["generate", index + 1][0], "one at a time on the card"


def test_a_segment_begun_before_half_precision_was_left_is_begun_again_in_it(order, monkeypatch):
    """In bfloat16; the first segment leaves it in sampling, after the second has been encoded."""
    half = replace(order, choice=replace(order.choice, precision="bf16"))
    expected = {index: SegmentWorker(half, []).make(index).content for index in (0, 1)}
    worker, encoded = SegmentWorker(half, []), threading.Event()
    encode, generate = LatentSyncGeneration.encode, LatentSyncGeneration.generate

    def noting(self, segment, callbacks):
        made = encode(self, segment, callbacks)
        if segment.index == 1:
            encoded.set()
        return made

    def leaving_half(self, segment, faces, callbacks):
        if segment.index == 0:
            assert encoded.wait(GENEROUS)
        made = generate(self, segment, faces, callbacks)
        if segment.index == 0:
            self.restore_precision("sample", "float32")
        return made

    monkeypatch.setattr(LatentSyncGeneration, "encode", noting)
    monkeypatch.setattr(LatentSyncGeneration, "generate", leaving_half)
    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(worker.make, (0, 1)))
    assert {part.record.precisions["sample"] for part in made} == {"float32", "bfloat16"}
    assert [part.content for part in made] == [expected[0], expected[1]]


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
