"""A student is trained on top of its teacher, resumes bit for bit, and its file says how it is to be sampled."""

from dataclasses import replace

import pytest
import torch

from latentsync_core.errors import LatentSyncError
from latentsync_core.models.embedded import embedded_unet
from latentsync_core.models.loading import load_models
from latentsync_core.models.students import recorded_student
from latentsync_core.models.tensor_file import read_tensors
from latentsync_core.student import Student
from latentsync_core.training import train
from latentsync_core.training.distributed import Processes
from latentsync_core.training.lora import add_lora, read_lora, save_lora
from latentsync_core.training.micro.student import pack_student
from latentsync_core.training.networks import load_networks
from latentsync_core.training.teacher import teacher_predictor
from latentsync_core.training.trainer import Trainer

CPU = Processes(0, 1, torch.device("cpu"))
LORA = {"checkpoint": "embedded", "unet": {}, "train": "lora", "lora_rank": 2, "lora_targets": ["attn2.to_", "conv_"]}
DISTILL = {"steps": 2, "teacher_steps": 2, "guidance": 2.0}


@pytest.fixture
def make_distillation(make_config):
    """``make_distillation("run", steps=2, method="consistency")``: a run of the embedded model's student."""

    def make(output: str, steps: int = 2, model: dict = LORA, **distill):
        return make_config(
            output,
            model=model,
            conditioning={"drop_probability": 0.0},
            optimizer={"steps": steps, "batch": 1},
            distill={**DISTILL, **distill},
        )

    return make


@pytest.mark.long
@pytest.mark.parametrize("method", ["trajectory", "consistency"])
def test_two_steps_equal_one_and_one_resumed_bit_for_bit(make_distillation, method):
    whole = train(make_distillation("straight", method=method))
    stopped = make_distillation("stopped", steps=1, method=method)
    train(stopped)
    again = train(replace(stopped, optimizer=replace(stopped.optimizer, steps=2)), resume=True)
    first, second = read_tensors(whole), read_tensors(again)
    assert first.tensors.keys() == second.tensors.keys()
    assert all(torch.equal(first.tensors[name], second.tensors[name]) for name in first.tensors)
    assert any(tensor.abs().sum() > 0 for name, tensor in first.tensors.items() if "lora_up" in name)
    student = Student(2, "ddim-trailing" if method == "trajectory" else "lcm", 2.0)
    assert recorded_student(whole) == student  # before torch has looked at it
    packed = pack_student(whole, whole.with_name("packed.safetensors"))
    assert recorded_student(packed) == student and packed.stat().st_size < 0.7 * whole.stat().st_size
    assert load_models("embedded", lora=whole, device="cpu").student == student
    assert load_models("embedded", device="cpu").student is None
    with pytest.raises(LatentSyncError, match="distill.guidance was 2.0, is 3.0"):
        train(make_distillation("stopped", method=method, guidance=3.0), resume=True)
    with pytest.raises(LatentSyncError, match="distill was .*, is None"):
        train(replace(stopped, distill=None), resume=True)


@pytest.mark.long
def test_all_weights_of_a_student_can_be_trained_and_its_teacher_stays(make_distillation):
    trainer = Trainer(make_distillation("all", model={"checkpoint": "embedded", "unet": {}}), CPU)
    teacher, before = trainer.objective.teacher, embedded_unet().state_dict()
    inputs = torch.randn(1, 13, 4, 8, 8), torch.tensor([500]), torch.randn(4, 50, 96)
    told = teacher.predict(*inputs)
    trainer.step()
    after = trainer.networks.unet.state_dict()
    assert torch.equal(teacher.predict(*inputs), told)
    assert any(not torch.equal(before[name], after[name]) for name in before)
    assert torch.equal(before["null_audio_tokens"], after["null_audio_tokens"])  # which a student never uses


def test_the_teacher_is_the_network_without_its_lora(make_distillation):
    networks = load_networks(make_distillation("teacher"), torch.device("cpu"))
    for layer in networks.lora.values():
        layer.up.data.fill_(0.1)
    inputs = torch.randn(1, 13, 2, 8, 8), torch.tensor([500]), torch.randn(2, 50, 96)
    told = teacher_predictor(networks, "fp32")(*inputs)
    with torch.no_grad():
        assert torch.equal(told, embedded_unet()(*inputs))
        assert (networks.unet(*inputs) - told).abs().max() > 0.01


def test_a_lora_is_trained_further_from_its_file(tmp_path):
    def layers(rank: int = 2):
        return add_lora(embedded_unet(), rank, None, ["attn2.to_q"], torch.Generator().manual_seed(rank))

    saved = layers()
    for layer in saved.values():
        layer.up.data.fill_(0.1)
    save_lora(saved, tmp_path / "lora.safetensors", {})
    new = layers()
    read_lora(new, tmp_path / "lora.safetensors")
    assert all(torch.equal(new[name].up, saved[name].up) for name in saved)
    assert all(torch.equal(new[name].down, saved[name].down) for name in saved)
    with pytest.raises(LatentSyncError, match="give the rank and the targets it was trained with"):
        read_lora(layers(3), tmp_path / "lora.safetensors")
