"""Two guidance scales, each with few and with many steps: every result scored, all four beside one another."""

from workflow_parts import conditioning, embedded_models, inputs, sample, save, track_and_encode

GUIDANCES, STEPS = (1.0, 2.0), (4, 20)
NOTE = """
## Which settings suit a clip?
Four results from one track of the face: guidance 1.0 and 2.0, each with 4 and with 20 steps. **Compare Videos** shows \
them beside one another with their scores; **Sync Score** draws the curves of each and says what the numbers mean.

Nothing needs to be downloaded. Copy `clip.mp4` and `voice.wav` from `latentsync_core/demo` of this node pack into \
ComfyUI's `input` folder, press R, then Run. For any other face choose other models in the three loaders.

Filmed speakers agree with their own voice by 0.25 to 0.4, another's voice gives up to 0.2, a clear lip-sync 0.5 and \
more. Look at the mouths too: a high agreement does not show whether they are sharp.
"""


def describe(w):
    w.column("Read me")
    w.note(NOTE, width=460).look(height=380)
    video, audio = inputs(w)
    model, whisper, vae = embedded_models(w)
    faces, latents, chunks = track_and_encode(w, video, audio, model, whisper, vae)
    tokens, conditioned = conditioning(w, latents, chunks, model)
    results = {}
    for guidance in GUIDANCES:
        w.column(f"Guidance {guidance}")
        sampled = {steps: sample(w, model, conditioned, guidance=guidance, steps=steps) for steps in STEPS}
        w.column(f"Results, guidance {guidance}")
        for steps, latent in sampled.items():
            blended = w.add("LatentSyncFaceBlend", faces=faces["faces"], tokens=tokens, latent=latent, vae=vae)
            results[f"guidance {guidance}, {steps} steps"] = blended["video"]
    w.column("Scores")
    scores = {}
    for name, result in results.items():
        scores[name] = w.add("LatentSyncSyncScore", video=result, source=video).look(f"Score: {name}")
    w.column("Curves")
    for name, score in scores.items():
        w.add("PreviewImage", images=score["plot"]).look(name, width=560, height=320)
    w.column("What they say")
    for name, score in scores.items():
        w.add("PreviewAny", source=score["text"]).look(name, width=460, height=320)
    w.column("All four beside one another")
    compared = w.add(
        "LatentSyncCompareVideos", **dict(zip("abcd", results.values(), strict=True)), labels="\n".join(results)
    )
    save(w, compared, "sweep_guidance_steps")
