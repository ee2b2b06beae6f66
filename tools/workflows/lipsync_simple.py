"""The whole pipeline in one node."""

from workflow_parts import inputs, models, save


def describe(w):
    video, audio = inputs(w)
    model, whisper, vae = models(w)
    w.column("Lip sync · 口型同步")
    synced = w.add(
        "LatentSyncLipSync",
        video=video,
        audio=audio,
        model=model["model"],
        whisper=whisper,
        vae=vae,
        resolution=model["resolution"],
    )
    w.column("Result · 结果")
    saved = save(w, synced, "lipsync")
    asked = [(synced, name) for name in ("face", "length", "preset", "seed")]
    w.app_view([(video, "file"), (audio, "audio"), *asked], [saved])
