"""How the embedded model was trained on synthetic clips: autoencoder, audio encoder, and the UNet by unet.toml."""
