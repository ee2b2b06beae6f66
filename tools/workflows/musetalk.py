"""MuseTalk in place of LatentSync: one step of ComfyUI's own KSampler, without guidance."""

from workflow_parts import conditioning, inputs, musetalk_models, save


def describe(w):
    video, audio = inputs(w)
    model, whisper, vae = musetalk_models(w)
    w.column("Face and voice · 人脸与语音")
    features = w.add("LatentSyncAudioFeatures", audio=audio, whisper=whisper)
    faces = w.add("LatentSyncFaceTrack", video=video, model=model["model"])  # below: it grows
    w.column("Encode · 编码")
    latents = w.add("LatentSyncFaceEncode", faces=faces["faces"], vae=vae, resolution=model["resolution"])
    chunks = w.add("LatentSyncAudioChunks", features=features, faces=faces["faces"])
    w.column("Generate · 生成")
    tokens, conditioned = conditioning(w, latents, chunks, model)
    sampled = w.add(
        "KSampler",
        model=model["model"],
        positive=conditioned["positive"],
        negative=conditioned["negative"],
        latent_image=conditioned["latent"],
        seed=0,
        steps=1,
        cfg=1.0,
        sampler_name="euler",
        scheduler="simple",
        denoise=1.0,
    )
    w.column("Result · 结果")
    blended = w.add("LatentSyncFaceBlend", faces=faces["faces"], tokens=tokens, latent=sampled, vae=vae)
    w.column("Video · 视频")
    save(w, blended["video"], "musetalk")
