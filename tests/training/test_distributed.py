"""Two processes under torchrun take the step of their averaged gradients, and write one set of files."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from latentsync_core.models.unet import load_unet
from latentsync_core.training.distributed import Processes
from latentsync_core.training.trainer import Trainer, step_generator

pytestmark = pytest.mark.long

PACK = Path(__file__).parents[2]


def test_two_processes_average_their_gradients(make_config, tmp_path):
    settings = {"optimizer": {"steps": 1, "ema": 0.0}, "conditioning": {"null": "learned", "drop_probability": 0.5}}
    alone = Trainer(make_config("alone", **settings), Processes(0, 1, torch.device("cpu")))
    for rank in range(2):  # gradients add up
        alone.losses_of_a_batch(2, step_generator(0, 0, rank))["loss"].backward()
    for weight in alone.state.weights.values():
        weight.grad /= 2
    torch.nn.utils.clip_grad_norm_(alone.state.weights.values(), 1.0)
    alone.state.optimizer.step()

    together = make_config("together", **settings)
    (tmp_path / "run.json").write_text(json.dumps(together.to_dict()))
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    launch += ["-m", "latentsync_core", "train", str(tmp_path / "run.json")]
    done = subprocess.run(launch, cwd=PACK, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    files = list(together.output.glob("*.safetensors"))
    assert done.stdout.split() == [str(path) for path in files] and len(files) == 1
    logged = [json.loads(line) for line in (together.output / "log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in logged if "loss" in entry] == [1]  # one process writes
    found = load_unet(files[0]).state_dict()
    for name, weight in alone.networks.unet.state_dict().items():
        # AdamW's first step is the rate times the gradient's sign: compare where the gradient is more than noise.
        assert torch.quantile((found[name] - weight).abs().flatten(), 0.95) < 1e-5, name
