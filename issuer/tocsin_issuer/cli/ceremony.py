"""`tocsin keys ceremony`: operators, each with a root on a machine of their own, sign a keyset.

root → first or prepare → sign, each operator alone → assemble → publish.
"""

import json
import time
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from msgspec import ValidationError, convert, to_builtins

from tocsin_issuer.cli.admin import DEFAULT_FILE, AdminClient, AdminFile, read_access
from tocsin_issuer.cli.duration import seconds
from tocsin_issuer.cli.files import read_text, write_new
from tocsin_issuer.cli.output import time_text
from tocsin_issuer.cli.secret_text import secret_bytes
from tocsin_issuer.core.keyset_changes import changes
from tocsin_issuer.keys import ceremony, draft, root_file
from tocsin_issuer.keys.draft import KeysetDraft
from tocsin_issuer.keys.draft_request import MAX_ROTATIONS, DraftRequest, NewRoots
from tocsin_issuer.keys.root_signatures import (
    RootSignature,
    read_document,
    read_signature,
    to_text,
)
from tocsin_issuer.keys.signer import generate
from tocsin_schemas.errors import ConfigurationError
from tocsin_schemas.jws import Signer
from tocsin_schemas.keyset import Policy, PublicJwk, RootSet

app = typer.Typer(
    help="Make a keyset with roots that are kept on different machines.", no_args_is_help=True
)

Draft = Annotated[Path, typer.Argument(help="The draft's file.")]
Out = Annotated[Path, typer.Option(help="A new file.")]
Folder = Annotated[Path, typer.Option("--dir", help="The issuer's data directory.")]
RootPublics = Annotated[
    list[Path] | None, typer.Option("--root", help="A root's public file. Once for each root.")
]
Threshold = Annotated[int | None, typer.Option(min=1, max=16, help="How many roots must sign.")]
Rotations = Annotated[
    int, typer.Option(min=1, max=MAX_ROTATIONS, help="Token keys after the active one.")
]
Every = Annotated[str, typer.Option(help="How long each token key signs: 30d, 12h …")]
RootFile = Annotated[Path, typer.Option("--root", help="Your root's file.")]
PartFile = Annotated[Path | None, typer.Option("--out", help="A new file.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
Signatures = Annotated[list[Path], typer.Argument(help="The operators' signatures.")]
SecretFile = Annotated[
    Path | None, typer.Option(help="Holds the passphrase or key; else it is asked for.")
]


@app.command()
def root(
    out: Annotated[Path, typer.Argument(help="A new file, sealed with the passphrase.")],
    alg: Annotated[str, typer.Option(help="RS256, ES256 or Ed25519.")] = "RS256",
    secret_file: SecretFile = None,
) -> None:
    """Make a root key. FILE stays with its operator, FILE.pub goes to the ceremony."""
    secret = secret_bytes(secret_file, "Passphrase of the root", confirm=True)
    made = generate(alg)
    write_new(out, root_file.seal(made, secret))
    write_new(out.with_name(out.name + ".pub"), json.dumps(dict(made.public.jwk)) + "\n")
    print(f"root {made.kid} in {out}; its public half in {out}.pub")


@app.command()
def first(
    issuer: Annotated[str, typer.Option(help="The `iss` of all tokens: one fixed URL.")],
    threshold: Annotated[int, typer.Option(min=1, max=16, help="How many roots must sign.")],
    root: RootPublics = None,
    out: Out = Path("draft.json"),
    folder: Folder = Path(".tocsin/issuer"),
    alg: Annotated[str, typer.Option(help="Of the token keys.")] = "RS256",
    rotations: Rotations = 3,
    every: Every = "30d",
    lease_ms: Annotated[int, typer.Option(min=500, max=3_600_000)] = 120_000,
    heartbeat_ms: Annotated[int, typer.Option(min=50, max=60_000)] = 1_000,
) -> None:
    """Begin a new issuer: make its keys in its folder, and draft its first keyset."""
    keys = tuple(_public(path) for path in root or [])
    if not threshold <= len(keys):
        raise ConfigurationError("threshold", "name as many roots as must sign, or more")
    made = ceremony.begin(
        folder,
        RootSet(version=1, threshold=threshold, keys=keys),
        ceremony.FirstKeyset(
            issuer=issuer,
            policy=Policy(lease_ms=lease_ms, heartbeat_ms=heartbeat_ms),
            now=int(time.time()),
            alg=alg,
            rotations=rotations,
            rotate_every_s=seconds(every),
        ),
    )
    write_new(out, to_text(made))
    _show(made)


@app.command()
def prepare(
    out: Out = Path("draft.json"),
    rotations: Rotations = 3,
    every: Every = "30d",
    alg: Annotated[
        list[str] | None, typer.Option(help="Of new token keys, in turn. May be repeated.")
    ] = None,
    life: Annotated[str, typer.Option(help="How long the keyset is good.")] = "90d",
    new_ledger_key: Annotated[
        bool, typer.Option(help="Replace the ledger key: it was stolen, or is old.")
    ] = False,
    root: RootPublics = None,
    threshold: Threshold = None,
    policy: Annotated[
        str | None, typer.Option(help='Changed members, as JSON: {"lease_ms": 60000}')
    ] = None,
    admin_file: AdminFile = DEFAULT_FILE,
) -> None:
    """Have the issuer make the keys that are missing and draft the next keyset."""
    wanted: dict[str, Any] = {
        "rotations": rotations,
        "every_s": seconds(every),
        "life_s": seconds(life),
        "algs": alg or [],
        "new_ledger_key": new_ledger_key,
    }
    if root:
        roots = NewRoots(threshold or len(root), tuple(_public(path) for path in root))
        wanted["roots"] = to_builtins(roots)
    if policy is not None:
        wanted["policy"] = _json(policy, "the policy")
    _checked(wanted)
    answer = AdminClient(read_access(admin_file)).call("POST", "/admin/keys/drafts", wanted)
    made = draft.read_draft(json.dumps(answer.members))
    write_new(out, to_text(made))
    _show(made)


@app.command()
def show(file: Draft = Path("draft.json")) -> None:
    """Show what a draft changes against the newest keyset."""
    _show(draft.read_draft(read_text(file)))


@app.command()
def sign(
    file: Draft = Path("draft.json"),
    root: RootFile = Path("root"),
    out: PartFile = None,
    secret_file: SecretFile = None,
    yes: Yes = False,
) -> None:
    """Look at a draft and sign it. Needs no network."""
    read = draft.read_draft(read_text(file))
    _show(read)
    signer = confirmed_root(root, secret_file, yes)
    write_part(draft.sign(read, signer), signer, file, out)


@app.command()
def assemble(
    file: Draft,
    signatures: Signatures,
    out: Out = Path("keyset.json"),
) -> None:
    """Put the signatures together, and check the whole as every agent will."""
    read = draft.read_draft(read_text(file))
    document = draft.assemble(read, [read_signature(read_text(path)) for path in signatures])
    write_new(out, to_text(document))
    print(f"keyset {read.keyset.version}, signed by {len(document.signatures)} roots, in {out}")


@app.command()
def publish(
    file: Annotated[Path, typer.Argument(help="The assembled keyset.")] = Path("keyset.json"),
    folder: Annotated[
        Path | None, typer.Option("--dir", help="Of a new issuer, for its first keyset.")
    ] = None,
    admin_file: AdminFile = DEFAULT_FILE,
) -> None:
    """Publish an assembled keyset."""
    document = read_document(read_text(file))
    if folder is not None:
        keyset = ceremony.install(folder, document)
        print(f"keyset {keyset.version} of {keyset.iss} in {folder}; pin in the services' files:")
        for kid in sorted(keyset.roots.public_keys()):
            print(f"  root {kid}")
        return
    body: dict[str, Any] = to_builtins(document)
    answer = AdminClient(read_access(admin_file)).call("POST", "/admin/keys/keysets", body)
    print(json.dumps(answer.members))


def confirmed_root(root: Path, secret_file: Path | None, yes: bool) -> Signer:
    """The operator's root, once they have said that what was shown is to be signed."""
    if not yes:
        typer.confirm("Sign this?", abort=True)
    return root_file.read(root, secret_bytes(secret_file, "Passphrase of the root"))


def write_part(part: RootSignature, signer: Signer, draft_file: Path, out: Path | None) -> None:
    """The operator's part, beside the draft unless ``out`` says where."""
    target = out or draft_file.with_name(f"{draft_file.stem}.{signer.kid[:8]}.sig.json")
    write_new(target, to_text(part))
    print(f"signed by {signer.kid} in {target}")


def _show(read: KeysetDraft) -> None:
    for line in changes(read.before(), read.keyset, time_text):
        print(line)
    print(f"digest   {read.digest()}")


def _checked(wanted: dict[str, Any]) -> DraftRequest:
    try:
        return convert(wanted, DraftRequest)
    except ValidationError as error:
        raise ConfigurationError("usage", str(error)) from None


def _public(path: Path) -> PublicJwk:
    try:
        return convert(_json(read_text(path), str(path)), PublicJwk)
    except ValidationError:
        raise ConfigurationError("root_malformed", f"{path}: not a public key") from None


def _json(text: str, what: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        raise ConfigurationError("usage", f"{what} is not JSON") from None
