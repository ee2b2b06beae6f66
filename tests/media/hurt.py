"""Real bytes of real packets overwritten, as a bad disk or a broken download does it."""

import random

import av


def packets_of(path) -> list[tuple[int, int]]:
    """(place in the file, bytes) of every packet of the video track."""
    with av.open(str(path)) as container:
        return [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]


def hurt_packets(path, target, numbers, seed=0, spare=8):
    """Copy `path` to `target` with a twentieth of the bytes of these packets changed, the first `spare` kept."""
    data, rng, packets = bytearray(path.read_bytes()), random.Random(seed), packets_of(path)
    for number in numbers:
        start, size = packets[number]
        for _ in range(max(3, size // 20)):
            data[start + rng.randrange(min(spare, size - 1), size)] ^= rng.randrange(1, 256)
    target.write_bytes(data)
    return target


def blank_packets(path, target, numbers):
    """Copy `path` to `target` with these packets gone to zero, save the 4 bytes of a Matroska block's header."""
    data, packets = bytearray(path.read_bytes()), packets_of(path)
    for number in numbers:
        start, size = packets[number]
        data[start + 4 : start + size] = bytes(size - 4)
    target.write_bytes(data)
    return target


def restamp(path, target, stamps):
    """Copy a Matroska file to `target` with these stamps (ms, in the order stored, within 32 s) in its blocks."""
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packets = [(packet.pos + 1, packet.pts) for packet in container.demux(video=0) if packet.size]
    for (start, own), stamp in zip(packets, stamps, strict=True):  # a block states its time relative to its cluster
        relative = int.from_bytes(data[start : start + 2], "big", signed=True)
        data[start : start + 2] = (stamp - own + relative).to_bytes(2, "big", signed=True)
    target.write_bytes(data)
    return target


def join(target, *paths):
    """Write files end to end into `target`, as `cat` does."""
    target.write_bytes(b"".join(path.read_bytes() for path in paths))
    return target


def remux(path, target, options=None, moved=lambda packet: 0, kept=lambda packet: True):
    """Copy the tracks of `path` to `target` undecoded.

    moved(packet): ticks by which its stamps are moved. kept(packet): whether it is copied at all.
    """
    with av.open(str(path)) as source, av.open(str(target), "w", options=options or {}) as copy:
        tracks = {stream.index: copy.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            if packet.size and kept(packet):
                ticks = moved(packet)
                packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks
                packet.stream = tracks[packet.stream.index]
                copy.mux(packet)
    return target
