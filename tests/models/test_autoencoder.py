"""The autoencoder and LatentSync's solver give diffusers' own numbers without importing it."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from seeded import seed_weights

from latentsync_core.diffusion import make_schedule
from latentsync_core.diffusion.schedule import SETTINGS
from latentsync_core.models.autoencoder import AutoencoderConfig, AutoencoderKL
from latentsync_core.models.vae import SD_SHAPE

ROOT = Path(__file__).parents[2]
SHAPES = {
    "narrow": {**SD_SHAPE, "block_out_channels": (32, 32, 64, 64), "norm_num_groups": 8},
    "shallow": {**SD_SHAPE, "block_out_channels": (16, 32, 48, 64), "layers_per_block": 1, "norm_num_groups": 8},
}
SYNC = """
import sys
from pathlib import Path
from latentsync_core.__main__ import main
from latentsync_core.demo import CLIP, VOICE
from latentsync_core.diffusion import sample

def stop(*args, **kwargs):
    print(*sorted({"diffusers", "torch._dynamo", "scipy.stats", "sympy", "whisper", "numba"} & set(sys.modules)))
    sys.exit(0)

sample.denoise_groups = stop
main(["sync", "--video", str(CLIP), "--audio", str(VOICE), "--out", sys.argv[1], "--checkpoint", "embedded"])
"""


@pytest.mark.parametrize("shape", SHAPES)
def test_it_equals_diffusers_autoencoder(shape):
    from diffusers import AutoencoderKL as Published

    published = seed_weights(Published(**SHAPES[shape])).double().eval()
    ours = AutoencoderKL(AutoencoderConfig.from_dict(SHAPES[shape])).double().eval()
    ours.load_state_dict(published.state_dict())
    pixels = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(3), dtype=torch.float64) * 2 - 1
    with torch.inference_mode():
        expected, found = published.encode(pixels).latent_dist, ours.encode(pixels)
        for name in ("mean", "logvar", "std"):
            torch.testing.assert_close(getattr(found, name), getattr(expected, name), rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(found.kl(), expected.kl(), rtol=1e-9, atol=1e-9)
        decoded = published.decode(expected.mean).sample
        torch.testing.assert_close(ours.decode(expected.mean), decoded, rtol=1e-9, atol=1e-9)


def test_blocks_of_another_kind_are_refused():
    with pytest.raises(ValueError, match="4 times DownEncoderBlock2D was expected"):
        AutoencoderConfig.from_dict({**SD_SHAPE, "down_block_types": ("AttnDownEncoderBlock2D",) * 4})


@pytest.mark.parametrize("steps", [1, 3, 20, 500])
def test_ddim_equals_diffusers_bit_for_bit(steps):
    from diffusers import DDIMScheduler

    published = DDIMScheduler(**SETTINGS, set_alpha_to_one=False, clip_sample=False)
    published.set_timesteps(steps)
    ours, generator = make_schedule("ddim", steps), torch.Generator().manual_seed(1)
    assert torch.equal(ours.alphas_cumprod, published.alphas_cumprod)
    assert torch.equal(ours.timesteps, published.timesteps)
    latents = torch.randn(1, 4, 2, 8, 8, generator=generator)
    for timestep in ours.timesteps[:5].tolist() + ours.timesteps[-2:].tolist():
        noise = torch.randn(latents.shape, generator=generator)
        expected = published.step(noise, timestep, latents).prev_sample
        assert torch.equal(ours.step(noise, torch.tensor(timestep), latents).prev_sample, expected)


@pytest.mark.long
def test_a_run_denoises_without_importing_a_compiler(tmp_path):
    """diffusers brings torch's compiler and scipy.stats, openai-whisper numba: seconds, more than all a run needs."""
    command = [sys.executable, "-c", SYNC, str(tmp_path / "out.mp4")]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert (ended.returncode, ended.stdout.strip()) == (0, ""), ended.stderr
