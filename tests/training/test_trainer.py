"""Training reduces the loss, resumes bit for bit, and writes files that inference and other tools load unchanged."""

import json
from dataclasses import replace

import pytest
import torch
from PIL import Image
from safetensors import safe_open
from seeded import NARROW_UNET, seed_weights

from latentsync_core.diffusion.conditioning import TrainedConditioning
from latentsync_core.errors import LatentSyncError
from latentsync_core.models.loading import load_models
from latentsync_core.models.tensor_file import read_tensors
from latentsync_core.models.unet import (
    UNet3DConditionModel,
    UNetConfig,
    load_unet,
    save_unet,
)
from latentsync_core.training import train
from latentsync_core.training.distributed import Processes
from latentsync_core.training.trainer import Trainer, learning_rate

pytestmark = pytest.mark.long

CPU = Processes(0, 1, torch.device("cpu"))


def log_of(config) -> list[dict]:
    return [json.loads(line) for line in (config.output / "log.jsonl").read_text().splitlines()]


def same_tensors(first, second) -> bool:
    a, b = read_tensors(first).tensors, read_tensors(second).tensors
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_six_steps_equal_three_and_three_resumed_bit_for_bit(make_config):
    optimizer, conditioning = {"warmup": 2, "null_learning_rate": 1e-2}, {"null": "learned"}
    straight = make_config("straight", optimizer={"steps": 6, **optimizer}, conditioning=conditioning)
    whole = train(straight)
    stopped = make_config("stopped", optimizer={"steps": 3, **optimizer}, conditioning=conditioning)
    train(stopped)
    resumed = replace(stopped, optimizer=replace(stopped.optimizer, steps=6))
    again = train(resumed, resume=True)
    assert same_tensors(whole, again)
    states = [torch.load(run.output / "state.pt", weights_only=True) for run in (straight, resumed)]
    for name in ("weights", "ema", "optimizer"):
        assert flat(states[0][name]) == flat(states[1][name])
    losses = [[entry["loss"] for entry in log_of(run) if "loss" in entry] for run in (straight, resumed)]
    assert len(losses[0]) == 6 and losses[0] == losses[1]


def flat(value) -> list:
    """Every tensor and number inside nested containers, as plain numbers."""
    if isinstance(value, torch.Tensor):
        return value.flatten().tolist()
    if isinstance(value, dict):
        return [number for key in sorted(value, key=str) for number in flat(value[key])]
    if isinstance(value, (list, tuple)):
        return [number for item in value for number in flat(item)]
    return [value]


def test_the_loss_falls(make_config):
    trainer = Trainer(make_config(optimizer={"batch": 4, "learning_rate": 3e-3}), CPU)
    losses = [trainer.step()["loss"] for _ in range(25)]
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])


def test_a_checkpoint_has_full_metadata_and_inference_loads_it(make_config):
    conditioning = {"null": "learned", "position_encoding": "on", "drops": "jointly", "drop_probability": 0.5}
    config = make_config(conditioning=conditioning, optimizer={"steps": 3})
    path = train(config)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    assert metadata["latentsync.position_encoding"] == "on" and metadata["latentsync.null"] == "learned"
    assert metadata["latentsync.dropped"] == "jointly" and metadata["latentsync.drop_probability"] == "0.5"
    assert metadata["latentsync.resolution"] == "64" and metadata["latentsync.step"] == "3"
    assert json.loads(metadata["latentsync.training"])["optimizer"]["batch"] == 2
    assert str(config.output.parent) not in str(metadata)  # nothing of this machine
    models = load_models(path, device="cpu")
    trained = TrainedConditioning.of_models(models)
    assert models.resolution == 64 and trained.positions and not trained.null_has_reference
    assert (
        trained.null_tokens.shape == (50, config.model.unet["cross_attention_dim"])
        and trained.null_tokens.abs().sum() > 0
    )  # it was trained


def test_without_dropping_the_null_stays_zeros(make_config):
    path = train(make_config(conditioning={"drop_probability": 0.0}))
    loaded = load_unet(path)
    assert TrainedConditioning.of(loaded) == TrainedConditioning(False, None, True)
    assert "null_audio_tokens" not in loaded.state_dict()


def test_a_null_with_its_own_rate_moves_by_that_rate_and_all_else_as_before(make_config):
    drawn = {"null": "learned", "drop_probability": 1.0}
    optimizer = {"steps": 2, "ema": 0}  # in the first step a new network passes no gradient on to its inputs
    first = make_config("one", conditioning=drawn, optimizer=optimizer)
    second = make_config("own", conditioning=drawn, optimizer={**optimizer, "null_learning_rate": 0.1})
    one, own = (read_tensors(train(config)).tensors for config in (first, second))
    nulls = [weights.pop("null_audio_tokens") for weights in (one, own)]
    moved = nulls[0].abs() > 1e-5  # where the gradient is well above Adam's epsilon
    assert moved.any() and torch.allclose(nulls[1][moved], 100 * nulls[0][moved], rtol=1e-3)
    assert all(torch.equal(one[name], own[name]) for name in one)


def test_gradient_checkpointing_changes_memory_not_gradients(make_config):
    found = []
    for checkpointing in (False, True):
        trainer = Trainer(make_config(optimizer={"gradient_checkpointing": checkpointing}), CPU)
        parts = trainer.losses_of_a_batch(2, torch.Generator().manual_seed(0))
        saved = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t, saved=saved: saved.append(t.numel()) or t, lambda t: t):
            trainer.losses_of_a_batch(2, torch.Generator().manual_seed(0))
        parts["loss"].backward()
        found.append((sum(saved), [p.grad for p in trainer.networks.unet.parameters()]))
    (kept, plain), (kept_less, checkpointed) = found
    assert kept_less < 0.5 * kept
    assert all(torch.allclose(a, b, atol=1e-7) for a, b in zip(plain, checkpointed, strict=True))


def test_accumulating_parts_averages_their_gradients(make_config):
    norms = []
    for accumulate in (1, 2):
        config = make_config(optimizer={"batch": 2, "accumulate": accumulate}, conditioning={"drop_probability": 1.0})
        norms.append(Trainer(config, CPU).step()["gradient"])
    assert norms[0] == pytest.approx(norms[1], rel=0.6)  # other windows are drawn, of the same size


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_steps_keep_full_precision_weights(make_config, precision):
    trainer = Trainer(make_config(optimizer={"precision": precision}), CPU)
    assert trainer.step()["loss"] == pytest.approx(1.0, abs=0.3)
    assert {weight.dtype for weight in trainer.networks.unet.parameters()} == {torch.float32}


def test_averaged_weights_are_saved_and_training_continues_from_the_last_ones(make_config):
    config = make_config(optimizer={"steps": 4})
    averaged, state = load_unet(train(config)), torch.load(config.output / "state.pt", weights_only=True)
    name = "conv_in.weight"
    assert not torch.equal(averaged.state_dict()[name], state["weights"][name])
    names = list(state["weights"])
    assert torch.equal(averaged.state_dict()[name], state["ema"]["shadow_params"][names.index(name)])


def test_logs_sample_grids_and_checkpoints_are_written_as_configured(make_config):
    config = make_config(
        optimizer={"steps": 4}, watch={"sample_every": 2, "save_every": 1, "keep": 2}, data={"held_out": 1}
    )
    train(config)
    entries = log_of(config)
    assert [entry["step"] for entry in entries if "loss" in entry] == [1, 2, 3, 4]
    assert {"noise", "gradient", "learning_rate", "rate"} <= entries[0].keys()
    grids = sorted(path.name for path in (config.output / "samples").iterdir())
    assert grids == ["b-0000002.png", "b-0000004.png"]  # of the clip that was held out
    with Image.open(config.output / "samples" / grids[0]) as picture:
        assert picture.size == (8 * 66, 3 * 66)
    assert sorted(path.name for path in config.output.glob("*.safetensors")) == [
        "unet-0000003.safetensors",
        "unet-0000004.safetensors",
    ]


def test_tensorboard_reads_the_log(make_config):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    config = make_config(watch={"sample_every": 2})
    train(config)
    events = accumulator.EventAccumulator(str(config.output / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("loss")] == [1, 2]
    assert events.Tags()["images"] == ["a"]


def test_a_published_checkpoint_is_fine_tuned_in_chosen_modules_only(make_config, tmp_path):
    width = make_config().model.unet["cross_attention_dim"]
    unet = seed_weights(UNet3DConditionModel(UNetConfig.from_dict({**NARROW_UNET, "cross_attention_dim": width})))
    torch.save({"global_step": 1, "state_dict": unet.state_dict()}, tmp_path / "latentsync_unet.pt")
    model = {"checkpoint": str(tmp_path / "latentsync_unet.pt"), "unet": {}, "train": "modules", "modules": ["attn2"]}
    path = train(make_config(model=model, optimizer={"ema": 0.0}))
    before, after = unet.state_dict(), load_unet(path).state_dict()
    changed = {name for name in after if not torch.equal(before[name], after[name])}
    assert changed and all("attn2" in name for name in changed)


def test_a_run_is_not_overwritten_and_not_resumed_with_other_settings(make_config):
    config = make_config()
    with pytest.raises(LatentSyncError, match="nothing to resume"):
        train(config, resume=True)
    train(config)
    with pytest.raises(LatentSyncError, match="--resume"):
        train(config)
    changed = replace(config, conditioning=replace(config.conditioning, drop_probability=0.2))
    with pytest.raises(LatentSyncError, match=r"conditioning.drop_probability was 0.1, is 0.2"):
        train(changed, resume=True)


def test_a_diverging_run_stops_with_an_error(make_config):
    with pytest.raises(LatentSyncError, match="The loss is (nan|inf) at step .*learning_rate"):
        train(make_config(optimizer={"steps": 9, "learning_rate": 1e30, "max_grad_norm": 1e30}))


def test_learning_rate_warms_up_and_falls_to_a_tenth(make_config):
    settings = make_config(optimizer={"steps": 100, "warmup": 10, "decay": "cosine"}).optimizer
    rates = [learning_rate(step, settings) for step in range(100)]
    assert rates[0] == pytest.approx(1e-4) and max(rates) == rates[10] == pytest.approx(1e-3)
    assert rates[10:] == sorted(rates[10:], reverse=True) and rates[-1] == pytest.approx(1e-4, rel=0.02)


def test_a_learned_null_is_kept_when_a_run_starts_from_its_checkpoint(make_config, tmp_path):
    unet = UNet3DConditionModel(UNetConfig.from_dict({**make_config().model.unet, "null_audio_tokens": 1}))
    torch.nn.init.ones_(unet.null_audio_tokens)
    save_unet(unet, tmp_path / "base.safetensors", {"resolution": "64", "null": "learned", "position_encoding": "on"})
    model = {"checkpoint": str(tmp_path / "base.safetensors"), "unet": {}}
    trainer = Trainer(make_config(model=model), CPU)
    assert trainer.conditioning.positions
    assert torch.equal(trainer.conditioning.null_tokens, torch.ones(1, unet.config.cross_attention_dim))


def test_motion_modules_are_added_to_a_model_that_has_none_and_change_nothing_until_trained(make_config, tmp_path):
    shape = make_config().model.unet
    unet = seed_weights(UNet3DConditionModel(UNetConfig.from_dict({**shape, "use_motion_module": False})))
    save_unet(unet, tmp_path / "base.safetensors", {"resolution": "64", "position_encoding": "on"})
    model = {"checkpoint": str(tmp_path / "base.safetensors"), "train": "modules", "modules": ["motion_modules"]}
    trainer = Trainer(make_config(model={**model, "unet": {"use_motion_module": True}}), CPU)
    trained = [name for name in trainer.networks.trainable() if name != "null_audio_tokens"]
    assert trained and all("motion_modules" in name for name in trained)
    sample, voice = torch.randn(1, 13, 3, 8, 8), torch.randn(3, 2, unet.config.cross_attention_dim)
    with torch.no_grad():
        before, after = (network(sample, torch.tensor([5]), voice) for network in (unet, trainer.networks.unet.eval()))
    assert torch.allclose(before, after, atol=1e-6)


def test_a_shape_that_would_lose_weights_of_the_checkpoint_is_refused(make_config, tmp_path):
    shape = make_config().model.unet
    unet = UNet3DConditionModel(UNetConfig.from_dict({**shape, "use_motion_module": True}))
    save_unet(unet, tmp_path / "base.safetensors", {"resolution": "64"})
    for changes in ({"use_motion_module": False}, {"block_out_channels": [64, 64]}):
        model = {"checkpoint": str(tmp_path / "base.safetensors"), "unet": changes}
        with pytest.raises(LatentSyncError, match="only add parts"):
            Trainer(make_config(model=model), CPU)
