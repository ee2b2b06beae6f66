"""ComfyUI's own KSampler in place of ours."""

from workflow_parts import conditioning, inputs, models, save, track_and_encode


def describe(w):
    video, audio = inputs(w)
    model, whisper, vae = models(w)
    faces, latents, chunks = track_and_encode(w, video, audio, model, whisper, vae)
    w.column("Generate · 生成")
    tokens, conditioned = conditioning(w, latents, chunks, model)
    sampled = w.add(
        "KSampler",
        model=model["model"],
        positive=conditioned["positive"],
        negative=conditioned["negative"],
        latent_image=conditioned["latent"],
        seed=1247,
        steps=20,
        cfg=1.5,
        sampler_name="ddim",
        scheduler="ddim_uniform",
        denoise=1.0,
    )
    w.column("Result · 结果")
    blended = w.add("LatentSyncFaceBlend", faces=faces["faces"], tokens=tokens, latent=sampled, vae=vae)
    w.column("Video · 视频")
    save(w, blended["video"], "lipsync_ksampler")
