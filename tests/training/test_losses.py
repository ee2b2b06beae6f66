"""Noise as the reference mixes it, and losses that measure what they document."""

import pytest
import torch
import torch.nn.functional as F
from einops import rearrange
from seeded import seed_weights

from latentsync_core.diffusion import make_schedule
from latentsync_core.faces import fixed_mask, latent_mask
from latentsync_core.models.embedded import embedded_models
from latentsync_core.models.syncnet import StableSyncNet
from latentsync_core.training.losses import PixelLoss, SyncLoss, latent_weights, noise_loss, step_weights
from latentsync_core.training.noise import (
    draw_timesteps,
    mixed_noise,
    noised_latents,
    predicted_latents,
    training_schedule,
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("mix", "shared"), [(0.0, 0.0), (1.0, 0.5), (2.0, 0.8)])
def test_mixed_noise_has_unit_variance_of_which_frames_share_the_stated_part(mix, shared):
    noise = mixed_noise((8, 4, 6, 32, 32), mix, generator())
    assert noise.var().item() == pytest.approx(1, abs=0.02)
    between_frames = (noise[:, :, 1:] * noise[:, :, :-1]).mean().item()
    assert between_frames == pytest.approx(shared, abs=0.02)
    assert (noise[1:] * noise[:-1]).mean().item() == pytest.approx(0, abs=0.02)


def test_timesteps_cover_the_schedule_of_the_sampler():
    steps = draw_timesteps(20_000, generator())
    assert steps.min() == 0 and steps.max() == 999
    assert steps.double().mean().item() == pytest.approx(499.5, abs=8)
    assert torch.equal(training_schedule().alphas_cumprod, make_schedule("ddim", 20).alphas_cumprod)


def test_the_true_noise_gives_back_the_clean_latents():
    clean, noise = torch.randn(2, 3, 4, 5, 8, 8, generator=generator())
    schedule, steps = training_schedule(), torch.tensor([1, 400, 990])
    noisy = schedule.add_noise(clean, noise, steps)
    found = predicted_latents(noisy, noise, schedule.alphas_cumprod[steps])
    assert torch.allclose(found, clean, atol=1e-3)


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_some_windows_are_pure_noise_whose_target_leads_to_the_clean_latents(share):
    schedule, count = training_schedule(), 200
    clean, noise = (torch.randn(count, 4, 2, 2, 2, generator=generator(seed)) for seed in (1, 2))
    steps = draw_timesteps(count, generator(3))
    seen = noised_latents(clean, noise, steps, schedule, share, generator(4))
    pure = (seen.noisy == noise).flatten(1).all(1)
    assert float(pure.float().mean()) == pytest.approx(share, abs=0.1)
    assert torch.equal(seen.timesteps[~pure], steps[~pure]) and torch.equal(seen.noise[~pure], noise[~pure])
    assert torch.equal(seen.noisy[~pure], schedule.add_noise(clean, noise, steps)[~pure])
    assert ((seen.timesteps[pure] >= 750) & (seen.timesteps[pure] < 1000)).all()
    found = predicted_latents(seen.noisy, seen.noise, schedule.alphas_cumprod[seen.timesteps])
    assert torch.allclose(found, clean, atol=1e-3)


def test_noise_loss_is_the_mean_square_and_can_be_limited_to_the_mouth():
    noise = torch.randn(2, 4, 3, 8, 8, generator=generator())
    mask = latent_mask(fixed_mask(64))
    ones = torch.ones(2)
    wrong = noise + 0.5
    equal = latent_weights(mask, 1.0)
    assert noise_loss(wrong, noise, equal, ones).item() == pytest.approx(0.25, rel=1e-5)
    wrong_where_kept = noise + (mask > 0.5)
    assert noise_loss(wrong_where_kept, noise, latent_weights(mask, 0.0), ones).item() == 0
    uneven = latent_weights(mask, 0.2)  # which average to one
    assert noise_loss(wrong, noise, uneven, ones).item() == pytest.approx(0.25, rel=1e-5)
    assert noise_loss(wrong, noise, equal, torch.tensor([1.0, 3.0])).item() == pytest.approx(0.5, rel=1e-5)


def test_min_snr_reduces_the_weight_of_steps_with_little_noise():
    alphas = training_schedule().alphas_cumprod[torch.tensor([1, 500, 999])]
    weights = step_weights(alphas, 5.0)
    assert weights[0] < 0.01 and weights[2] == 1
    assert torch.equal(step_weights(alphas, None), torch.ones(3))


@pytest.fixture(scope="module")
def autoencoder():
    return embedded_models()[1].autoencoder


def test_pixel_loss_depends_on_the_mouth_alone(autoencoder):
    crops = torch.randint(0, 256, (1, 2, 64, 64, 3), dtype=torch.uint8, generator=generator())
    latents = torch.randn(1, 4, 2, 8, 8, generator=generator(1)).requires_grad_()
    loss = PixelLoss(autoencoder, fixed_mask(64), frames=2)
    alphas = torch.ones(1)
    found = loss(latents, crops, alphas, generator())
    found.backward()
    assert latents.grad.abs().sum() > 0
    elsewhere = crops.clone()
    elsewhere[:, :, fixed_mask(64) == 1] = 0
    assert loss(latents, elsewhere, alphas, generator()) == found
    mouth = crops.clone()
    mouth[:, :, fixed_mask(64) == 0] = 0
    assert loss(latents, mouth, alphas, generator()) != found
    assert loss(latents, crops, alphas / 2, generator()).item() == pytest.approx(found.item() / 2)


@pytest.mark.long
def test_sync_loss_is_one_minus_the_cosine_of_lips_and_voice(autoencoder, golden):
    syncnet = seed_weights(StableSyncNet(golden("syncnet_small.json")))
    clean = torch.randn(2, 4, 16, 4, 4, generator=generator()).requires_grad_()
    mel = torch.randn(2, 1, 80, 52, generator=generator(1))
    shares = torch.tensor([1.0, 0.5])
    found = SyncLoss(autoencoder, syncnet)(clean, mel, shares)
    latents = rearrange(clean, "b c f h w -> (b f) c h w") / autoencoder.config.scaling_factor
    pictures = F.interpolate(
        autoencoder.decode(latents), (256, 256), mode="bicubic", antialias=True, align_corners=False
    )
    video = rearrange(pictures[:, :, 128:], "(b f) c h w -> b (f c) h w", b=2)  # frame by frame, red green blue
    vision, audio = syncnet(video, mel)
    expected = ((1 - (vision * audio).sum(1)) * shares).mean()
    assert found.item() == pytest.approx(expected.item(), abs=1e-5)
    found.backward()
    assert clean.grad[0].abs().sum() > 0
