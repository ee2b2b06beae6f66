"""The embedded model's two small companions, autoencoder and audio encoder, trained from synthetic clips alone."""
