"""Position encoding on and off against guidance 1.0 and 1.5: four results from one track of the face."""

from workflow_parts import conditioning, inputs, models, sample, save, track_and_encode


def describe(w):
    video, audio = inputs(w)
    model, whisper, vae = models(w)
    faces, latents, chunks = track_and_encode(w, video, audio, model, whisper, vae)
    for mode in ("off", "on"):
        w.column(f"Positions {mode} · 位置 {mode}")
        tokens, conditioned = conditioning(w, latents, chunks, model, mode)
        sampled = {guidance: sample(w, model, conditioned, guidance=guidance) for guidance in (1.0, 1.5)}
        for guidance, latent in sampled.items():
            w.column(f"Positions {mode}, guidance {guidance} · 位置 {mode}，引导 {guidance}")
            blended = w.add("LatentSyncFaceBlend", faces=faces["faces"], tokens=tokens, latent=latent, vae=vae)
            save(w, blended["video"], f"ablation_positions_{mode}_guidance_{guidance}")
