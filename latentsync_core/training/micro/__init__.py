"""How the embedded model was made, from drawn clips alone: autoencoder, audio encoder, and the UNet by unet.toml."""
