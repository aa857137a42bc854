"""Tables whose cells can be copied, whatever the terminal's width."""

from rich.console import Console
from rich.table import Table

MIN_WIDTH = 140


def print_table(table: Table) -> None:
    """Print a table no narrower than a kid and its dates need: a cut-off kid is of no use."""
    console = Console()
    console.width = max(console.width, MIN_WIDTH)
    console.print(table)
