"""Which files hold a listener's certificates."""

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

ClientCertificate = Literal["optional", "required"]


class TlsFiles(BaseModel):
    """PEM files; they may be replaced while the listener runs.

    ``certificate`` is the listener's own with its chain, and ``key`` its private key, without a
    password and closed to others. ``client_ca`` holds the authorities that issue the certificates
    of clients: with it every client must show one, unless ``client_certificate`` says that it may
    come without. One that does not hold is refused in either case, in the handshake.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    certificate: Path
    key: Path
    client_ca: Path | None = None
    client_certificate: ClientCertificate = "required"

    @model_validator(mode="after")
    def _somebody_to_believe(self) -> Self:
        if self.client_ca is None and "client_certificate" in self.model_fields_set:
            raise ValueError("client_certificate needs client_ca")
        return self
