"""The same trainer trains a MuseTalk UNet: every frame in one step, from a face whose lower half is black."""

import copy
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from tiny_training import TINY_UNET

from latentsync_core.audio import musetalk_indices
from latentsync_core.diffusion.conditioning import TrainedConditioning
from latentsync_core.errors import LatentSyncError
from latentsync_core.models.tensor_file import read_tensors
from latentsync_core.models.unet import load_unet
from latentsync_core.training import train
from latentsync_core.training.batches import WindowPair
from latentsync_core.training.distributed import Processes
from latentsync_core.training.objectives import frames_alone
from latentsync_core.training.trainer import Trainer

pytestmark = pytest.mark.long

CPU = Processes(0, 1, torch.device("cpu"))


@pytest.fixture
def make_musetalk(make_config):
    """``make_config`` of a MuseTalk run, with the loss on pixels."""

    def make(output: str = "run", **tables):
        values = {
            "model": {"generator": "musetalk", "unet": TINY_UNET},
            "conditioning": {"drop_probability": 0.0},
            "loss": {"pixel": 0.5, "pixel_frames": 1},
        }
        return make_config(
            output, **{name: {**values.get(name, {}), **tables.get(name, {})} for name in {*values, *tables}}
        )

    return make


def test_the_loss_falls_and_a_resumed_run_equals_an_uninterrupted_one(make_musetalk):
    settings = {"steps": 12, "batch": 4, "learning_rate": 3e-3}
    straight = make_musetalk("straight", optimizer=settings, watch={"sample_every": 12})
    trainer = Trainer(straight, CPU)
    losses = [trainer.step() for _ in range(12)]
    assert sum(found["loss"] for found in losses[-3:]) < 0.8 * sum(found["loss"] for found in losses[:3])
    assert losses[0]["loss"] == pytest.approx(losses[0]["latent"] + 0.5 * losses[0]["pixel"], rel=1e-5)
    stopped = make_musetalk("stopped", optimizer={**settings, "steps": 5})
    train(stopped)
    path = train(replace(stopped, optimizer=straight.optimizer), resume=True)
    with trainer.state.averaged():
        expected = {name: tensor.clone() for name, tensor in trainer.networks.unet.state_dict().items()}
    found = read_tensors(path).tensors
    assert found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in found)


def test_its_checkpoint_says_what_it_is_and_how_it_was_conditioned(make_musetalk):
    path = train(make_musetalk(conditioning={"position_encoding": "on"}, watch={"sample_every": 2}))
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    assert metadata["latentsync.generator"] == "musetalk" and metadata["latentsync.resolution"] == "64"
    assert metadata["latentsync.musetalk_release"] == "1.5"  # the box with a margin below the chin
    unet = load_unet(path, generator="musetalk")
    assert TrainedConditioning.of(unet) == TrainedConditioning(positions=True)
    assert not TrainedConditioning.of(load_unet(train(make_musetalk("plain")))).positions
    with pytest.raises(LatentSyncError, match="is a MuseTalk UNet"):
        load_unet(path, generator="latentsync")
    assert len(list((path.parent / "samples").iterdir())) == 1


def test_the_network_sees_a_black_lower_half_another_frame_and_musetalks_voice(make_musetalk):
    trainer = Trainer(make_musetalk(), CPU)
    clip, codec = trainer.windows.clips[0], trainer.networks.models.codec
    batch = trainer.windows.batch([WindowPair(0, 2, 8)], trainer.conditioning, torch.Generator())
    assert batch.condition.shape == (1, 8, 4, 8, 8)
    stored = clip.rows(2, 6, "crops", "masked_mean", "masked_std")
    pixels = stored["crops"].permute(0, 3, 1, 2).float() / 127.5 - 1
    pixels[:, :, 32:] = -1
    hidden = codec.encode(pixels)
    assert torch.allclose(stored["masked_mean"], hidden.mean, atol=1e-5)
    reference = clip.rows(8, 12, "mean", "std")
    for channels, mean, std in (
        (slice(0, 4), stored["masked_mean"], stored["masked_std"]),
        (slice(4, 8), reference["mean"], reference["std"]),
    ):
        deviations = (batch.condition[0, channels].transpose(0, 1) - mean) / std
        assert abs(float(deviations.std()) - 1) < 0.15
    voice = clip.read("features", "indices")
    assert torch.equal(voice["indices"], musetalk_indices(len(voice["features"]), 25, clip.frames))
    last = voice["features"][:, -1]  # through the final norm, whose weights are those of a new one: unit variance
    assert torch.allclose(last.var(-1, unbiased=False), torch.ones(len(last)), atol=0.01)


def test_boxes_end_at_random_below_the_chin_and_stay_in_the_frame(make_musetalk):
    boxes = Trainer(make_musetalk(), CPU).windows.clips[0].read("boxes")["boxes"].double()
    heights = boxes[:, 3] - boxes[:, 1]
    assert heights.std() / heights.mean() > 0.02  # the head is nearly still: its own height varies by less
    assert (boxes[:, 3] <= 512).all() and (boxes[:, 1] >= 0).all()


def test_no_frame_sees_another(make_musetalk):
    trainer = Trainer(make_musetalk(), CPU)
    unet = copy.deepcopy(trainer.networks.unet).double()
    torch.nn.init.normal_(unet.conv_out.weight, generator=torch.Generator().manual_seed(0))
    condition = torch.randn(2, 8, 3, 8, 8, generator=torch.Generator().manual_seed(1)).double()
    voice = torch.randn(6, 50, TINY_UNET["cross_attention_dim"], generator=torch.Generator().manual_seed(2)).double()
    with torch.no_grad():
        together = frames_alone(unet, condition, voice)
        single = unet(condition[1:, :, 2:], 0, voice[5:])
    assert torch.allclose(together[1:, :, 2:], single, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("table", "named"),
    [
        ({"conditioning": {"drop_probability": 0.1}}, "conditioning.drop_probability is 0.1"),
        ({"conditioning": {"null": "learned"}}, "conditioning.null is 'learned'"),
        ({"loss": {"from_noise": 0.3}}, "loss.from_noise is 0.3"),
        ({"loss": {"min_snr": 5.0}}, "loss.min_snr is 5.0"),
    ],
)
def test_what_only_denoising_has_is_refused(make_musetalk, table, named):
    with pytest.raises(LatentSyncError, match=rf"{named}, but MuseTalk is trained without noise"):
        make_musetalk(**table)


def test_an_unknown_generator_is_refused(make_config):
    with pytest.raises(LatentSyncError, match=r"model.generator is 'wav2lip'; choose one of latentsync, musetalk"):
        make_config(model={"generator": "wav2lip"})
