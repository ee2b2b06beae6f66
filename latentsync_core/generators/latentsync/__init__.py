"""LatentSync: audio-conditioned latent diffusion by a 3D UNet."""
