"""The report's colours as CSS variables, light and dark.

The hues are those of Okabe and Ito, which people with any colour vision can tell apart.
"""

COLOURS = {
    "paper": ("#ffffff", "#161b22"),
    "ink": ("#24292f", "#e6edf3"),
    "quiet": ("#59636e", "#9198a1"),
    "line": ("#d0d7de", "#3d444d"),
    "card": ("#f6f8fa", "#1f262e"),
    "blue": ("#0072b2", "#56b4e9"),
    "pale": ("#56b4e9", "#0072b2"),
    "replicas": ("#d55e00", "#e69f00"),
    "orange": ("#e69f00", "#e69f00"),
    "green": ("#009e73", "#009e73"),
    "pink": ("#cc79a7", "#cc79a7"),
}
"""Each variable's value on a light page and on a dark one; `figure.svg` needs each light value to be unique."""

LIGHT = {name: light for name, (light, _) in COLOURS.items()}
SERIES = [LIGHT[name] for name in ("blue", "orange", "green", "pink")]

_light, _dark = (
    ":root { " + " ".join(f"--{name}: {values[scheme]};" for name, values in COLOURS.items()) + " }"
    for scheme in (0, 1)
)
CSS = f"{_light}\n@media (prefers-color-scheme: dark) {{ {_dark} }}\n"
"""Sets the variables by the reader's colour scheme."""
