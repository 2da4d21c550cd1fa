"""The rehearsal's second front: the real Pulumi engine, with the handlers behind a resource provider of its protocol.

provider      the gRPC service: check, diff, create, read, update, delete, invoke
values        the protocol's values as Python's, and back        changes     what a change of inputs means
plugin        `pulumi-resource-aws` for one run                   workspace   the project as the CLI sees it
"""
