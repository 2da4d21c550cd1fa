"""Everything that Ferry raises on purpose, as one tree.

    FerryError                 exit 1
    ├── InputError             something that was given cannot be used: a file, a field, an option
    │   ├── UnreadableInput    the file is missing, truncated, or not of the kind that it was named as
    │   ├── InvalidField       a field has a value that is not allowed
    │   └── UnwritableOutput   a result cannot be written where it was asked for
    ├── ArtefactError          an artefact of an earlier step cannot be trusted
    │   ├── UnknownSchema      written by a version that this one does not know
    │   ├── TamperedArtefact   changed after Ferry wrote it
    │   └── StaleArtefact      made from a file that has changed since
    ├── CatalogError           a fact is missing: a price, a region, an instance type
    ├── PlanError              no plan exists: the model fits nowhere, or needs what no component provides
    ├── RenderError            the stack or the templates cannot be written
    ├── RepositoryError        the model repository cannot do what was asked
    │   ├── Untrusted          a manifest or a channel is signed by no trusted key, or an old one was put back
    │   ├── Altered            what is stored, fetched or read is not what was signed or hashed
    │   ├── Conflict           somebody else has changed the same thing first, or it is there and may not change
    │   └── TransferError      the object store or the network did not do it, after all retries
    ├── TrafficError           traffic cannot be moved, or not by this process; it stays as it was
    │   ├── GatewayError       Envoy is missing, not running, refuses a configuration, or its folder cannot be used
    │   ├── Superseded         another controller has taken over since
    │   ├── TokenError         a token cannot be issued or revoked, or its keys cannot be rotated
    │   └── AuditError         the request log cannot be chained, or its archive is not what it was
    ├── AttestationError       a report of a confidential machine cannot be believed, or its secret not be released
    ├── ProvisioningError      Pulumi refused or failed, or a stack's state would lie where it may not
    └── RehearsalError         the program could not be run to its end
        ├── UnknownProperty    the program sends a property that no handler knows
        ├── UnknownResource    the program registers a type or calls a function that no handler knows
        ├── DuplicateUrn       two resources share one name
        └── PolicyBroken       the stack breaks a mandatory policy; nothing was created

A message says what is wrong, the value given, the values allowed, and the remedy; it stays on one line.
The answer "no" (a verdict, a failed check) is a result, not an error: the CLI exits with 3 for it.
"""


class FerryError(Exception):
    """Base of all errors that Ferry raises on purpose. The CLI prints its message and exits with 1."""


class InputError(FerryError):
    """Something that was given cannot be used."""


class UnreadableInput(InputError):
    """A file is missing, truncated, or not of the kind that it was named as."""


class InvalidField(InputError):
    """A field has a value that is not allowed."""


class UnwritableOutput(InputError):
    """A result cannot be written where it was asked for: a folder that is a file, no permission, a full disk."""


class ArtefactError(FerryError):
    """An artefact of an earlier step cannot be trusted."""


class UnknownSchema(ArtefactError):
    """The artefact was written by a version that this one does not know."""


class TamperedArtefact(ArtefactError):
    """The artefact was changed after Ferry wrote it."""


class StaleArtefact(ArtefactError):
    """The artefact was made from a file that has changed since."""


class CatalogError(FerryError):
    """A fact is missing from the catalogue. A missing price is never 0."""


class PlanError(FerryError):
    """No plan exists for this assessment."""


class RenderError(FerryError):
    """The stack file or the templates cannot be written."""


class RepositoryError(FerryError):
    """The model repository cannot do what was asked."""


class Untrusted(RepositoryError):
    """A manifest or a channel is signed by no trusted key, or an old one was put back in place of a newer."""


class Altered(RepositoryError):
    """What is stored, fetched or read is not what was signed or hashed."""


class Conflict(RepositoryError):
    """Somebody else has changed the same thing first, or it is there already and may not be changed."""


class TransferError(RepositoryError):
    """The object store or the network did not do what was asked, after all retries."""


class TrafficError(FerryError):
    """Traffic cannot be moved, or not by this process; it stays as it was."""


class GatewayError(TrafficError):
    """Envoy is missing, not running, refuses a configuration, or its folder cannot be used."""


class Superseded(TrafficError):
    """Another controller has taken over since: this one may not write any more."""


class TokenError(TrafficError):
    """A token cannot be issued or revoked, or the keys that sign them cannot be used or rotated."""


class AuditError(TrafficError):
    """The request log cannot be chained, or what lies in its archive is not what was put there."""


class AttestationError(FerryError):
    """A report of a confidential machine cannot be believed, or the secret that it asks for cannot be released."""


class ProvisioningError(FerryError):
    """Pulumi refused or failed, or the state of a stack would lie where it may not."""


class RehearsalError(FerryError):
    """The program could not be run to its end against the embedded account."""


class UnknownProperty(RehearsalError):
    """The program sends a property that no handler knows."""


class UnknownResource(RehearsalError):
    """The program registers a type, or calls a function, that no handler knows."""


class DuplicateUrn(RehearsalError):
    """Two resources of the program share one name; the real engine refuses that, Pulumi's mocks do not."""


class PolicyBroken(RehearsalError):
    """The stack breaks a mandatory policy. It is found before anything is created."""
