"""LatentSync lip-sync as a library: a video and a voice in, the same video speaking that voice out.

The subpackages are the stages in the order the data flows: media, audio, faces, models, diffusion, pipeline.
Importing this package loads neither torch nor any weights.
"""

__version__ = "0.2.0"
