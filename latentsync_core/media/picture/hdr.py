"""The mastering display metadata of high-dynamic-range video, passed from the source to the encoder."""

import struct
from dataclasses import dataclass

import av
from av.sidedata.sidedata import Type

from .planes import attached

CHROMATICITY_STEPS = 50_000  # per unit of CIE xy, in the bitstream (ITU-T H.265, D.3.28)
LUMINANCE_STEPS = 10_000  # per candela per square metre
DYNAMIC = {"DOVI_METADATA": "Dolby Vision", "DOVI_RPU_BUFFER": "Dolby Vision", "DYNAMIC_HDR_PLUS": "HDR10+"}


@dataclass(frozen=True)
class HdrMetadata:
    """HDR10's static metadata, and the names of dynamic kinds that the source has as well.

    display: the mastering display in the words of x265 and x264, G(x,y)B(x,y)R(x,y)WP(x,y)L(max,min) in steps of
    0.00002 and 0.0001 cd/m2. light: MaxCLL and MaxFALL in cd/m2. None or empty where the source has none.
    """

    display: str | None = None
    light: tuple[int, int] | None = None
    dynamic: tuple[str, ...] = ()

    @classmethod
    def of(cls, picture: av.VideoFrame) -> "HdrMetadata":
        """What is attached to a decoded picture."""
        display, light, dynamic = None, None, set()
        for entry in attached(picture) or ():
            if entry.type == Type.MASTERING_DISPLAY_METADATA:
                display = mastering_display(bytes(entry))
            elif entry.type == Type.CONTENT_LIGHT_LEVEL:
                light = struct.unpack("=2I", bytes(entry)[:8])
            elif entry.type.name in DYNAMIC:
                dynamic.add(DYNAMIC[entry.type.name])
        return cls(display, light, tuple(sorted(dynamic)))

    def encoder_parameters(self, encoder: str) -> list[str]:
        """The parameters that make x265 or x264 write it; none for other encoders."""
        names = {"libx265": ("master-display", "max-cll"), "libx264": ("mastering-display", "cll")}.get(encoder)
        if names is None:
            return []
        parameters = [f"{names[0]}={self.display}"] if self.display else []
        return parameters + ([f"{names[1]}={self.light[0]},{self.light[1]}"] if self.light else [])


def mastering_display(data: bytes) -> str | None:
    """AVMasteringDisplayMetadata (ten rationals, two flags) in the encoders' words; None unless it is complete."""
    numbers = struct.unpack("=22i", data[:88])
    ratios = list(zip(numbers[0:20:2], numbers[1:20:2], strict=True))
    if not (numbers[20] and numbers[21]) or any(bottom <= 0 or top < 0 for top, bottom in ratios):
        return None
    red_x, red_y, green_x, green_y, blue_x, blue_y, white_x, white_y = (
        round(top * CHROMATICITY_STEPS / bottom) for top, bottom in ratios[:8]
    )
    darkest, brightest = (round(top * LUMINANCE_STEPS / bottom) for top, bottom in ratios[8:])
    return (
        f"G({green_x},{green_y})B({blue_x},{blue_y})R({red_x},{red_y})WP({white_x},{white_y})L({brightest},{darkest})"
    )
