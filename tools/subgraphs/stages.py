"""The staged graph as one node that opens: few inputs outside, every stage inside."""

NAME = "LatentSync Lip Sync (stages)"
DESCRIPTION = (
    "Lip-syncs a video as LatentSync Lip Sync does, with every stage inside: open it to put other nodes in between. "
    "The models come from LatentSync Load Model or Load MuseTalk Model, Load Whisper and Load VAE."
)


def describe(w):
    w.description = DESCRIPTION
    video, audio = w.inlet("video", "VIDEO"), w.inlet("audio", "AUDIO")
    model, whisper, vae = w.inlet("model", "MODEL"), w.inlet("whisper", "LATENTSYNC_WHISPER"), w.inlet("vae", "VAE")
    face = w.knob("LatentSyncFaceTrack", "face")
    w.column("Face and voice · 人脸与语音")
    faces = w.add("LatentSyncFaceTrack", video=video, face=face, model=model)
    features = w.add("LatentSyncAudioFeatures", audio=audio, whisper=whisper)
    w.column("Encode · 编码")
    latents = w.add("LatentSyncFaceEncode", faces=faces, vae=vae, model=model)
    chunks = w.add("LatentSyncAudioChunks", features=features, faces=faces)
    w.column("Generate · 生成")
    tokens = w.add("LatentSyncPositionEncoding", tokens=chunks, model=model)
    conditioned = w.add("LatentSyncConditioning", face_latents=latents, tokens=tokens)
    sides = {name: conditioned[name] for name in ("positive", "negative", "latent")}
    knobs = {name: w.knob("LatentSyncSampler", name) for name in ("steps", "guidance", "seed")}
    sampled = w.add("LatentSyncSampler", model=model, **sides, **knobs)
    w.column("Result · 结果")
    blended = w.add("LatentSyncFaceBlend", faces=faces, tokens=tokens, latent=sampled, vae=vae)
    w.outlet("video", blended["video"])
    w.outlet("preview", faces["preview"])
