"""The colours of series can be distinguished by all kinds of eyes, and from their background."""

import itertools
import math

import pytest

from cli.charts.theme import DARK, SERIES, SHEET, TINTS

# How each way of seeing turns linear red, green and blue into others: Machado, Oliveira and Fernandes 2009, severity 1.
# https://www.inf.ufrgs.br/~oliveira/pubs_files/CVD_Simulation/CVD_Simulation.html
EYES = {
    "all colours": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "no red": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "no green": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "no blue": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}
SCHEMES = {"light": (SERIES, SHEET), "dark": (tuple(DARK[colour] for colour in SERIES), DARK[SHEET])}
# In CIELAB, where 2.3 is a just noticeable difference.
APART = 15
# WCAG 2.2, 1.4.11, for parts that are no text.
CONTRAST = 3


def linear(colour: str) -> list[float]:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    return [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]


def lab(rgb: list[float]) -> tuple[float, float, float]:
    red, green, blue = (min(1.0, max(0.0, part)) for part in rgb)
    x = (0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.95047
    y = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    z = (0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.08883
    f, g, h = (part ** (1 / 3) if part > 0.008856 else 7.787 * part + 16 / 116 for part in (x, y, z))
    return 116 * g - 16, 500 * (f - g), 200 * (g - h)


def luminance(colour: str) -> float:
    red, green, blue = linear(colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("eyes", EYES)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_series_differ_for_all_eyes(scheme: str, eyes: str) -> None:
    seen = {
        colour: lab([sum(a * b for a, b in zip(row, linear(colour), strict=True)) for row in EYES[eyes]])
        for colour in SCHEMES[scheme][0]
    }
    assert len(seen) == 8
    close = {pair: math.dist(seen[pair[0]], seen[pair[1]]) for pair in itertools.combinations(seen, 2)}
    assert min(close.values()) > APART, min(close, key=lambda pair: close[pair])


@pytest.mark.parametrize("scheme", SCHEMES)
def test_series_stand_out_from_the_sheet(scheme: str) -> None:
    colours, sheet = SCHEMES[scheme]
    for colour in colours:
        low, high = sorted((luminance(colour), luminance(sheet)))
        assert (high + 0.05) / (low + 0.05) >= CONTRAST, colour


def test_each_colour_has_a_dark_one_of_its_own() -> None:
    assert len(set(TINTS.values())) == 8
    assert DARK.keys() >= {*SERIES, *TINTS.values()}
    assert len(DARK) == 4 + 16
