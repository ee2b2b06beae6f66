"""The words a user may choose among, in one place: the library, the command line and the nodes offer the same.

Importing this loads nothing else, so that a host can list its nodes at once.
"""

SOLVERS = ("ddim", "dpm++2m", "unipc", "euler")
POSITIONS = ("auto", "on", "off")
JOINS = ("overlap", "reference")
ALIGNMENTS = ("smooth", "reference")
BLENDS = ("mouth", "reference")
MASKS = ("fixed", "mesh")  # or a picture
COLOR_MATCHES = ("ring", "off")
LENGTHS = ("audio", "video", "shortest")
EXTENSIONS = ("pingpong", "loop", "hold", "none")
DROPS = ("audio", "reference", "jointly", "separately")  # what training drops for guidance
SILENCES = ("off", "rest", "keep")
FACE_WORDS = ("auto", "largest", "left", "right")
MISSING = ("pass", "hold", "stop")
SOUNDS = ("voice", "mix")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")

DEFAULT_STEPS = 20  # the reference's, as are guidance and seed
MAX_STEPS = 500  # with more, "leading" spacing starts at half the noise, and near 1000 runs off the table
DEFAULT_GUIDANCE = 1.5
DEFAULT_SEED = 1247
WINDOW_FRAMES = 16  # as trained
MAX_OFFSET_MS = 1000  # by which the mouth can be moved against the sound
DEFAULT_OVERLAP = 0  # frames that windows share; the reference's
DEFAULT_FEATHER = 1.5  # percent of the crop's side
DEFAULT_COLOR_MATCH = "ring"
MAX_WINDOW_FRAMES = 24  # length of the temporal position table
