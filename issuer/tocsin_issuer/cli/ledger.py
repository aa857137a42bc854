"""`tocsin ledger open-term`: the last resort, when no agent can go on along the ledger.

prepare → sign, each operator alone → assemble → publish. With the roots at hand, `now` does it all.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from nats.aio.client import Client
from nats.errors import TimeoutError as NatsTimeout

from tocsin_issuer.cli.bus import ServiceFile, connected
from tocsin_issuer.cli.ceremony import (
    PartFile,
    RootFile,
    SecretFile,
    Signatures,
    Yes,
    confirmed_root,
    write_part,
)
from tocsin_issuer.cli.files import read_text, write_new
from tocsin_issuer.core.sequencer import TAKEOVER_HEARTBEATS
from tocsin_issuer.keys import ceremony, term_draft
from tocsin_issuer.keys.root_signatures import read_document, read_signature, to_text
from tocsin_issuer.keys.term_draft import TermDraft
from tocsin_revocation_bus.core.replica import Replica
from tocsin_revocation_bus.jetstream.replay import replay
from tocsin_schemas import heartbeat
from tocsin_schemas.errors import LedgerRejected
from tocsin_schemas.signed_document import SignedDocument
from tocsin_schemas.subjects import EDGE_HEARTBEAT
from tocsin_schemas.term import TermStatement
from tocsin_verifier_agent import agent_file

_LOOK_S = 0.25
PENDING = 3

app = typer.Typer(help="The ledger itself.", no_args_is_help=True)
open_term = typer.Typer(
    help="Open a new term on the last good record, signed by the roots. The last resort.",
    no_args_is_help=True,
)
app.add_typer(open_term, name="open-term")

Draft = Annotated[Path, typer.Argument(help="The draft's file.")]
At = Annotated[
    int | None, typer.Option(min=1, help="The number that the last good record must have.")
]
Folder = Annotated[Path, typer.Option("--dir", help="A sequencer candidate's data directory.")]
Force = Annotated[
    bool, typer.Option("--force", help="Even while a sequencer goes on beyond the base.")
]
Wait = Annotated[float, typer.Option(min=0, help="Seconds to wait for a sequencer.")]


@open_term.command()
def prepare(
    file: ServiceFile = Path("dev.tocsin"),
    out: Annotated[Path, typer.Option(help="A new file.")] = Path("term-draft.json"),
    at: At = None,
) -> None:
    """Read the ledger as an agent does, and draft a term on its last good record."""
    made = asyncio.run(_draft(file, at))
    write_new(out, to_text(made))
    _show(made)


@open_term.command()
def show(file: Draft = Path("term-draft.json")) -> None:
    """Show what a draft says."""
    _show(term_draft.read_draft(read_text(file)))


@open_term.command()
def sign(
    file: Draft = Path("term-draft.json"),
    root: RootFile = Path("root"),
    out: PartFile = None,
    secret_file: SecretFile = None,
    yes: Yes = False,
) -> None:
    """Look at a draft and sign it. Needs no network."""
    read = term_draft.read_draft(read_text(file))
    _show(read)
    signer = confirmed_root(root, secret_file, yes)
    write_part(term_draft.sign(read, signer), signer, file, out)


@open_term.command()
def assemble(
    file: Draft,
    signatures: Signatures,
    out: Annotated[Path, typer.Option(help="A new file.")] = Path("term.json"),
) -> None:
    """Put the signatures together, and check that they are enough."""
    read = term_draft.read_draft(read_text(file))
    parts = [read_signature(read_text(path)) for path in signatures]
    write_new(out, to_text(term_draft.assemble(read, parts)))
    print(f"term {read.statement.term}, signed by {len(parts)} roots, in {out}")


@open_term.command()
def publish(
    signed: Annotated[Path, typer.Argument(help="The assembled statement.")] = Path("term.json"),
    file: ServiceFile = Path("dev.tocsin"),
    folder: Folder = Path(".tocsin/issuer"),
    force: Force = False,
    wait: Wait = 30.0,
) -> None:
    """Check the statement against the ledger, and leave it with a candidate, which opens the term.

    Exit status 3 where none has done so in time; it still will once it runs.
    """
    document = read_document(read_text(signed))
    _tell(asyncio.run(_offer(file, document, folder, force, wait)))


@open_term.command()
def now(
    file: ServiceFile = Path("dev.tocsin"),
    folder: Folder = Path(".tocsin/issuer"),
    at: At = None,
    force: Force = False,
    wait: Wait = 30.0,
    yes: Yes = False,
) -> None:
    """All steps at once, with the roots that lie in the data directory: for development."""
    made = asyncio.run(_draft(file, at))
    _show(made)
    if not yes:
        typer.confirm("Open this term?", abort=True)
    parts = [term_draft.sign(made, root) for root in ceremony.roots_at_hand(folder)]
    document = term_draft.assemble(made, parts)
    _tell(asyncio.run(_offer(file, document, folder, force, wait)))


@dataclass
class _Reading:
    """A ledger that has been read to its end, and can be read on."""

    client: Client
    replica: Replica
    seq: int = 1

    async def read_on(self) -> None:
        async for one in replay(self.client, self.replica, self.seq):
            self.seq = one.seq + 1

    async def goes_on_beyond(self, base: TermStatement) -> bool:
        """Whether a ledger key still signs heartbeats for records that are to be given up."""
        policy, keys = self.replica.trust.policy, dict(self.replica.trust.ledger_keys)
        listening = await self.client.subscribe(EDGE_HEARTBEAT)
        silent_ms = 0 if policy is None else policy.heartbeat_ms * (TAKEOVER_HEARTBEATS + 1)
        with suppress(TimeoutError, NatsTimeout):
            async with asyncio.timeout(silent_ms / 1000):
                async for message in listening.messages:
                    with suppress(LedgerRejected, UnicodeDecodeError):
                        beat = heartbeat.verify(message.data.decode("ascii"), keys)
                        if (beat.term, beat.head_n) > (base.base_term, base.base_n):
                            return True
        return False


@asynccontextmanager
async def _reading(file: Path) -> AsyncIterator[_Reading]:
    parsed = agent_file.read(file)
    async with connected(parsed, file, "tocsin ledger") as client:
        ledger = _Reading(client, Replica(parsed.issuer, parsed.pinned()))
        await ledger.read_on()
        yield ledger


async def _draft(file: Path, at: int | None) -> TermDraft:
    async with _reading(file) as ledger:
        return term_draft.on_head(ledger.replica, at)


async def _offer(
    file: Path, document: SignedDocument, folder: Path, force: bool, wait_s: float
) -> bool:
    """Returns whether the term has been opened within ``wait_s`` seconds.

    Raises:
        LedgerRejected: ``sequencer_ahead``, and as :func:`term_draft.check_offered`.
    """
    async with _reading(file) as ledger:
        said = term_draft.check_offered(ledger.replica, document)
        if not force and await ledger.goes_on_beyond(said):
            raise LedgerRejected(
                "sequencer_ahead", "a sequencer goes on beyond the base: stop it, or say --force"
            )
        ceremony.keep_opened_term(folder, document)
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                while ledger.replica.head is None or ledger.replica.head.term < said.term:
                    await asyncio.sleep(_LOOK_S)
                    await ledger.read_on()
                return True
        return False


def _tell(opened: bool) -> None:
    print(json.dumps({"status": "opened" if opened else "pending"}))
    if not opened:
        raise typer.Exit(PENDING)


def _show(draft: TermDraft) -> None:
    for line in (*draft.lines(), f"digest   {draft.digest()}"):
        print(line)
