"""ComfyUI's own KSampler in place of ours."""

from workflow_parts import conditioning, inputs, listen_and_look, models, save


def describe(w):
    video, audio = inputs(w)
    model, whisper, vae = models(w)
    faces, latents, chunks = listen_and_look(w, video, audio, model, whisper, vae)
    w.column("Generate")
    tokens, joined = conditioning(w, latents, chunks, model)
    sampled = w.add(
        "KSampler",
        model=model["model"],
        positive=joined["positive"],
        negative=joined["negative"],
        latent_image=joined["latent"],
        seed=1247,
        steps=20,
        cfg=1.5,
        sampler_name="ddim",
        scheduler="ddim_uniform",
        denoise=1.0,
    )
    w.column("Result")
    blended = w.add("LatentSyncFaceBlend", faces=faces["faces"], tokens=tokens, latent=sampled, vae=vae)
    save(w, blended["video"], "lipsync_ksampler")
