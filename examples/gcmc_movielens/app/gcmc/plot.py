"""Lines in a PNG file, by the standard library alone: no image for jobs need have matplotlib.

White ground, a frame, horizontal lines at round numbers, and a legend; digits and letters are 5 x 7 dots each.
"""

from __future__ import annotations

import math
import struct
import zlib
from typing import Dict, List, Sequence, Tuple

Colour = Tuple[int, int, int]
Points = Sequence[Tuple[float, float]]
WIDTH, HEIGHT = 900, 540
LEFT, RIGHT, TOP, BOTTOM = 80, 20, 40, 50
BLACK, GREY, PALE = (40, 40, 40), (110, 110, 110), (225, 225, 225)
COLOURS: Tuple[Colour, ...] = ((31, 119, 180), (255, 127, 14), (44, 160, 44))
# Rows from the top, five bits each.
FONT = {
    "0": "0E11131519110E", "1": "040C040404040E", "2": "0E11010204081F", "3": "1F02040201110E", "4": "02060A121F0202",
    "5": "1F101E0101110E", "6": "0608101E11110E", "7": "1F010204080808", "8": "0E11110E11110E", "9": "0E11110F01020C",
    ".": "00000000000C0C", "-": "0000001F000000", " ": "00000000000000", "a": "00000E010F110F", "d": "01010D1311110F",
    "e": "00000E111F100E", "i": "04000C0404040E", "l": "0C04040404040E", "n": "00001619111111", "p": "00001E111E1010",
    "r": "00001619101010", "s": "00000E100E011E", "t": "08081C0808090E", "v": "00001111110A04", "R": "1E11111E141211",
    "M": "111B1515111111", "S": "0F10100E01011E", "E": "1F10101E10101F",
}  # fmt: skip


class Canvas:
    """Pixels."""

    def __init__(self) -> None:
        self.rows = [bytearray(b"\xff" * 3 * WIDTH) for _ in range(HEIGHT)]

    def dot(self, x: int, y: int, colour: Colour, size: int = 1) -> None:
        """Paint a square of pixels."""
        for row in self.rows[max(0, y) : max(0, y + size)]:
            row[3 * max(0, x) : 3 * min(WIDTH, x + size)] = bytes(colour) * max(0, min(WIDTH, x + size) - max(0, x))

    def line(self, begin: Tuple[float, float], end: Tuple[float, float], colour: Colour, size: int = 1) -> None:
        """Paint a straight line."""
        count = max(1, math.ceil(max(abs(end[0] - begin[0]), abs(end[1] - begin[1]))))
        for number in range(count + 1):
            part = number / count
            self.dot(round(begin[0] + part * (end[0] - begin[0])), round(begin[1] + part * (end[1] - begin[1])), colour, size)

    def text(self, x: int, y: int, words: str, colour: Colour = BLACK, size: int = 2) -> None:
        """Write from the left; x and y are the upper left corner."""
        for at, letter in enumerate(words):
            for down, bits in enumerate(bytes.fromhex(FONT[letter])):
                for right in range(5):
                    if bits >> (4 - right) & 1:
                        self.dot(x + (6 * at + right) * size, y + down * size, colour, size)

    def png(self) -> bytes:
        """Return the file's bytes."""
        packed = zlib.compress(b"".join(b"\0" + bytes(row) for row in self.rows), 9)
        header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)
        chunks = ((b"IHDR", header), (b"IDAT", packed), (b"IEND", b""))
        return b"\x89PNG\r\n\x1a\n" + b"".join(
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
        )


def ticks(low: float, high: float) -> List[float]:
    """Round numbers from low to high, about five."""
    raw = max(high - low, 1e-9) / 5
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * power for unit in (1, 2, 5, 10) if unit * power >= raw * 0.999)
    return [number * step for number in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def chart(lines: Dict[str, Points], across: str, up: str) -> bytes:
    """Lines by name, over steps, as a PNG file."""
    points = [point for line in lines.values() for point in line]
    left, right = min(x for x, _ in points), max(x for x, _ in points)
    heights = sorted(y for _, y in points)
    low, high = heights[0], heights[-1]
    # The first steps are far off; they must not press the rest into a line.
    high = min(high, low + 4 * max(heights[len(heights) * 9 // 10] - low, 1e-3))
    margin = 0.05 * max(high - low, 1e-3)
    low, high, right = low - margin, high + margin, max(right, left + 1)
    canvas = Canvas()

    def place(x: float, y: float) -> Tuple[float, float]:
        across_part, up_part = (x - left) / (right - left), (min(y, high) - low) / (high - low)
        return LEFT + across_part * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up_part * (HEIGHT - TOP - BOTTOM)

    for value in ticks(low, high):
        canvas.line(place(left, value), place(right, value), PALE)
        label = f"{value:.3f}"
        canvas.text(LEFT - 8 - 12 * len(label), round(place(left, value)[1]) - 7, label)
    for value in ticks(left, right):
        x = place(value, low)[0]
        canvas.line((x, HEIGHT - BOTTOM), (x, HEIGHT - BOTTOM + 5), GREY)
        label = f"{value:g}" if right - left < 5 else f"{value:.0f}"
        canvas.text(round(x) - 6 * len(label), HEIGHT - BOTTOM + 10, label)
    corners = ((left, low), (right, low), (right, high), (left, high), (left, low))
    for begin, end in zip(corners, corners[1:]):
        canvas.line(place(*begin), place(*end), GREY)
    canvas.text(LEFT, 12, up)
    canvas.text((LEFT + WIDTH - RIGHT) // 2 - 6 * len(across), HEIGHT - 18, across)
    for number, (name, line) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        for begin, end in zip(line, line[1:]):
            canvas.line(place(*begin), place(*end), colour, 2)
        if len(line) == 1:
            canvas.dot(round(place(*line[0])[0]) - 2, round(place(*line[0])[1]) - 2, colour, 5)
        x = WIDTH - RIGHT - 130 * (len(lines) - number)
        canvas.line((x, 19), (x + 24, 19), colour, 3)
        canvas.text(x + 32, 12, name)
    return canvas.png()
