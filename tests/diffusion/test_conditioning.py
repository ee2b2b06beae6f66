"""One conditioning for training and sampling: what is dropped, what replaces it, and whether positions are added."""

import math

import pytest
import torch
from seeded import NARROW_UNET, draw, seed_weights

from latentsync_core.audio import encode_positions, gather_tokens, window_indices
from latentsync_core.diffusion import SamplerSettings, Window, sample_clip, window_groups
from latentsync_core.diffusion.conditioning import (
    ConditionDropout,
    Dropped,
    TrainedConditioning,
    without_reference,
)
from latentsync_core.errors import LatentSyncError
from latentsync_core.generators.face_latents import FaceLatents
from latentsync_core.generators.latentsync.conditioning import ClipConditioning
from latentsync_core.models.unet import (
    UNet3DConditionModel,
    UNetConfig,
    load_unet,
    read_checkpoint,
    save_unet,
)
from latentsync_core.options import DROPS

BATCH, FRAMES, TOKENS, WIDTH, SIDE = 6, 3, 50, 48, 4
ONE_WINDOW = window_groups([Window(0, FRAMES)])
LEARNED = {"one for all": (1, WIDTH), "one each": (TOKENS, WIDTH)}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def batch():
    """condition (b, 9, f, h, w) and voice (b*f, n, d), nowhere zero."""
    condition = torch.from_numpy(draw("condition", BATCH, 9, FRAMES, SIDE, SIDE))
    return condition, torch.from_numpy(draw("voice", BATCH * FRAMES, TOKENS, WIDTH))


def learned(shape) -> torch.Tensor:
    return torch.from_numpy(draw("null", *shape)).requires_grad_()


@pytest.mark.parametrize("null", [None, *LEARNED])
def test_dropped_samples_equal_the_null_exactly_and_kept_ones_are_untouched(batch, null):
    condition, voice = batch
    trained = TrainedConditioning(null_tokens=None if null is None else learned(LEARNED[null]))
    dropped = Dropped(torch.tensor([1, 0, 0, 1, 1, 0]).bool(), torch.tensor([0, 0, 1, 1, 0, 0]).bool())
    faces, tokens = trained.drop(condition, voice, dropped)
    expected = torch.zeros(TOKENS, WIDTH) if null is None else trained.null_tokens.expand(TOKENS, WIDTH)
    for sample in range(BATCH):
        rows = slice(sample * FRAMES, (sample + 1) * FRAMES)
        if dropped.audio[sample]:
            assert all(torch.equal(row, expected) for row in tokens[rows])
        else:
            assert torch.equal(tokens[rows], voice[rows])
        assert torch.equal(faces[sample, :5], condition[sample, :5])  # mask and masked face are never dropped
        kept = condition[sample, 5:]
        assert torch.equal(faces[sample, 5:], torch.zeros_like(kept) if dropped.reference[sample] else kept)


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.03])
def test_rate_is_the_probability_within_binomial_limits(probability):
    draws, rng = 10_000, generator(3)
    dropout = ConditionDropout(probability)
    count = sum(int(dropout.draw(4, rng).audio.sum()) for _ in range(draws // 4))
    assert abs(count - draws * probability) < 4 * math.sqrt(draws * probability * (1 - probability))


@pytest.mark.parametrize("drops", DROPS)
def test_probability_zero_and_one_are_exact(drops):
    rng = generator()
    never, always = ConditionDropout(0.0, drops), ConditionDropout(1.0, drops)
    for _ in range(100):
        kept, lost = never.draw(100, rng), always.draw(100, rng)
        assert not kept.audio.any() and not kept.reference.any()
        assert bool(lost.audio.all()) == (drops != "reference") and bool(lost.reference.all()) == (drops != "audio")


def test_audio_and_reference_drop_alone_jointly_or_separately():
    found = {drops: ConditionDropout(0.3, drops).draw(10_000, generator(1)) for drops in DROPS}
    assert found["audio"].audio.any() and not found["audio"].reference.any()
    assert found["reference"].reference.any() and not found["reference"].audio.any()
    assert torch.equal(found["jointly"].audio, found["jointly"].reference)
    both = (found["separately"].audio & found["separately"].reference).double().mean()
    assert both == pytest.approx(0.09, abs=4 * math.sqrt(0.09 * 0.91 / 10_000))


def test_the_same_seed_drops_the_same_samples():
    first, again, other = (ConditionDropout(0.5).draw(64, generator(seed)).audio for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)


@pytest.mark.parametrize("shape", LEARNED.values(), ids=list(LEARNED))
def test_gradients_reach_the_learned_null_from_dropped_samples_only(batch, shape):
    null = learned(shape)
    trained = TrainedConditioning(null_tokens=null)
    one = torch.tensor([0, 0, 0, 0, 1, 0]).bool()
    _, tokens = trained.drop(*batch, Dropped(one, torch.zeros_like(one)))
    tokens.sum().backward()
    assert torch.equal(null.grad, torch.full(shape, float(FRAMES * TOKENS / shape[0])))
    null.grad = None
    _, tokens = trained.drop(*batch, Dropped(~one & False, torch.zeros_like(one)))
    tokens.sum().backward()
    assert torch.equal(null.grad, torch.zeros(shape))


def small_unet(null_tokens: int = 0) -> UNet3DConditionModel:
    return seed_weights(UNet3DConditionModel(UNetConfig.from_dict({**NARROW_UNET, "null_audio_tokens": null_tokens})))


def test_a_learned_null_survives_the_checkpoint_and_guides_sampling(tmp_path, batch):
    unet = small_unet(null_tokens=TOKENS)
    trained = TrainedConditioning.of(unet)
    save_unet(unet, tmp_path / "unet.safetensors", trained.metadata(ConditionDropout()))
    loaded = load_unet(tmp_path / "unet.safetensors")
    assert torch.equal(loaded.null_audio_tokens, unet.null_audio_tokens)
    assert loaded.metadata["null"] == "learned" and loaded.metadata["drop_probability"] == "0.1"
    seen = sampled(loaded, batch)
    assert torch.equal(seen, unet.null_audio_tokens.expand(FRAMES, -1, -1))


def test_a_file_without_metadata_still_tells_its_null_by_its_shape(tmp_path):
    unet = small_unet(null_tokens=1)
    torch.save({"state_dict": unet.state_dict()}, tmp_path / "unet.pt")
    assert read_checkpoint(tmp_path / "unet.pt").config.null_audio_tokens == 1
    assert torch.equal(TrainedConditioning.of(load_unet(tmp_path / "unet.pt")).null_tokens, unet.null_audio_tokens)


def test_a_published_checkpoint_guides_against_zeros_and_adds_no_positions(tmp_path, batch):
    torch.save({"global_step": 1, "state_dict": small_unet().state_dict()}, tmp_path / "latentsync_unet.pt")
    loaded = load_unet(tmp_path / "latentsync_unet.pt")
    assert TrainedConditioning.of(loaded) == TrainedConditioning(False, None, True)
    assert not sampled(loaded, batch).any()


def clip(batch, trained: TrainedConditioning) -> ClipConditioning:
    condition, _ = batch
    faces = FaceLatents(
        condition[0, 1:5].transpose(0, 1), condition[0, 5:].transpose(0, 1), condition[0, 0, 0], {0: 0, 1: 1, 2: 2}, 64
    )
    features = torch.from_numpy(draw("features", 20, 5, WIDTH))
    tokens = trained.audio_tokens(features, window_indices(20, 25, FRAMES))
    return ClipConditioning(faces, tokens, range(FRAMES), trained)


def sampled(unet, batch) -> torch.Tensor:
    """The tokens (f, n, d) of the unconditional prediction in one guided step."""
    seen = []

    def record(sample, timestep, tokens):
        seen.append(tokens)
        return torch.zeros_like(sample[:, :4])

    noise = torch.zeros(1, 4, 1, SIDE, SIDE)
    conditioning = clip(batch, TrainedConditioning.of(unet))
    sample_clip(record, noise, conditioning, ONE_WINDOW, SamplerSettings(1, 2.0), frames=FRAMES)
    return seen[0][:FRAMES]


def test_where_both_were_dropped_jointly_the_unconditional_prediction_has_no_reference_either(batch):
    unet = small_unet()
    unet.metadata = TrainedConditioning().metadata(ConditionDropout(drops="jointly"))
    seen = []

    def record(sample, timestep, tokens):
        seen.append(sample[:, 4:])
        return torch.zeros_like(sample[:, :4])

    conditioning = clip(batch, TrainedConditioning.of(unet))
    for guidance in (2.0, 1.0):
        noise = torch.zeros(1, 4, 1, SIDE, SIDE)
        sample_clip(record, noise, conditioning, ONE_WINDOW, SamplerSettings(1, guidance), frames=FRAMES)
    faces = conditioning.faces.condition(range(FRAMES))
    assert torch.equal(seen[0], torch.cat([without_reference(faces), faces]))
    assert torch.equal(seen[1], faces)  # without guidance only the conditional prediction runs, with its reference


@pytest.mark.parametrize("positions", [True, False])
def test_auto_follows_the_checkpoint_and_can_be_overridden(tmp_path, positions):
    unet = small_unet()
    metadata = TrainedConditioning(positions).metadata(ConditionDropout())
    save_unet(unet, tmp_path / "unet.safetensors", metadata)
    loaded = load_unet(tmp_path / "unet.safetensors")
    assert TrainedConditioning.of(loaded).positions is positions
    assert TrainedConditioning.of(loaded, "on").positions and not TrainedConditioning.of(loaded, "off").positions
    features, indices = torch.from_numpy(draw("features", 20, 5, WIDTH)), window_indices(20, 25, FRAMES)
    tokens = TrainedConditioning.of(loaded).audio_tokens(features, indices)[0:FRAMES]
    assert torch.equal(tokens, encode_positions(gather_tokens(features, indices), "on" if positions else "off"))


def test_records_that_contradict_the_file_are_refused():
    with pytest.raises(LatentSyncError, match="has no null_audio_tokens"):
        TrainedConditioning.recorded({"null": "learned"}, None)
    with pytest.raises(LatentSyncError, match="'zeros' but has null_audio_tokens"):
        TrainedConditioning.recorded({"null": "zeros"}, torch.zeros(1, WIDTH))
    with pytest.raises(LatentSyncError, match="'everything' was dropped"):
        TrainedConditioning.recorded({"dropped": "everything"}, None)
    with pytest.raises(LatentSyncError, match="between 0 and 1"):
        ConditionDropout(1.5)
    with pytest.raises(LatentSyncError, match="choose one of audio"):
        ConditionDropout(drops="everything")
