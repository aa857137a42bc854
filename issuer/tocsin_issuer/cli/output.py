"""Tables whose cells can be copied, whatever the terminal's width."""

from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table

MIN_WIDTH = 140


def print_table(table: Table) -> None:
    """Print a table no narrower than a kid and its dates need: a cut-off kid is of no use."""
    console = Console()
    console.width = max(console.width, MIN_WIDTH)
    console.print(table)


def time_text(seconds: float) -> str:
    """Seconds of UTC, as people read them."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
