"""The whole pipeline in one node."""

from workflow_parts import inputs, models, save


def describe(w):
    video, audio = inputs(w)
    model, whisper, vae = models(w)
    w.column("Lip sync")
    synced = w.add(
        "LatentSyncLipSync",
        video=video,
        audio=audio,
        model=model["model"],
        whisper=whisper,
        vae=vae,
        resolution=model["resolution"],
    )
    w.column("Result")
    save(w, synced, "lipsync")
