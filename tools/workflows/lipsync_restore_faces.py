"""An image node between sampling and blending: sharpen here, or put a face restorer in its place."""

from workflow_parts import conditioning, inputs, models, sample, save, track_and_encode


def describe(w):
    video, audio = inputs(w)
    model, whisper, vae = models(w)
    faces, latents, chunks = track_and_encode(w, video, audio, model, whisper, vae)
    w.column("Generate · 生成")
    tokens, conditioned = conditioning(w, latents, chunks, model)
    sampled = sample(w, model, conditioned)
    w.column("Restore the faces · 修复人脸")
    decoded = w.add("VAEDecode", samples=sampled, vae=vae)
    sharpened = w.add("ImageSharpen", image=decoded, sharpen_radius=1, sigma=1.0, alpha=0.5)
    w.note("Put a face restorer or an upscaler in place of **Image Sharpen**: any node from IMAGE to IMAGE will do.")
    w.column("Result · 结果")
    blended = w.add("LatentSyncFaceBlend", faces=faces["faces"], tokens=tokens, crops=sharpened)
    w.column("Video · 视频")
    save(w, blended["video"], "lipsync_restored")
