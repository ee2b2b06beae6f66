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
