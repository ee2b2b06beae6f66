"""Stage by stage, with a node for each, so that others can be put in between."""

from workflow_parts import conditioning, inputs, models, sample, save, track_and_encode


def describe(w):
    video, audio = inputs(w)
    model, whisper, vae = models(w)
    faces, latents, chunks = track_and_encode(w, video, audio, model, whisper, vae)
    w.add("PreviewImage", images=faces["preview"])
    w.column("Generate · 生成")
    tokens, conditioned = conditioning(w, latents, chunks, model)
    sampled = sample(w, model, conditioned)
    w.column("Result · 结果")
    blended = w.add("LatentSyncFaceBlend", faces=faces["faces"], tokens=tokens, latent=sampled, vae=vae)
    w.column("Video · 视频")
    save(w, blended["video"], "lipsync")
