"""Stage by stage: every joint is open to other nodes."""

from workflow_parts import conditioning, inputs, listen_and_look, models, sample, save


def describe(w):
    video, audio = inputs(w)
    model, whisper, vae = models(w)
    faces, latents, chunks = listen_and_look(w, video, audio, model, whisper, vae)
    w.add("PreviewImage", images=faces["preview"])
    w.column("Generate")
    tokens, joined = conditioning(w, latents, chunks, model)
    sampled = sample(w, model, joined)
    w.column("Result")
    blended = w.add("LatentSyncFaceBlend", faces=faces["faces"], tokens=tokens, latent=sampled, vae=vae)
    save(w, blended["video"], "lipsync")
