"""The colours of the pictures: those of Okabe and Ito, which people with any colour vision can tell apart."""

import msgspec


class Theme(msgspec.Struct, frozen=True, kw_only=True):
    """The colours of one kind of page."""

    paper: str
    ink: str
    faint: str
    depth: str
    running: str
    replicas: str
    series: tuple[str, ...]


LIGHT = Theme(
    paper="#ffffff",
    ink="#24292f",
    faint="#d0d7de",
    depth="#56b4e9",
    running="#0072b2",
    replicas="#d55e00",
    series=("#0072b2", "#e69f00", "#009e73", "#cc79a7"),
)
DARK = Theme(
    paper="#161b22",
    ink="#e6edf3",
    faint="#3d444d",
    depth="#0072b2",
    running="#56b4e9",
    replicas="#e69f00",
    series=("#56b4e9", "#e69f00", "#009e73", "#cc79a7"),
)
