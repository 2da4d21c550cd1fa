"""The request log as evidence: one line per request, chained by hash, signed every few seconds, kept where nobody
deletes.

    logs/access.jsonl ──access_log──▶ shipper ──chain, head──▶ s3://ARCHIVE/requests/INSTANCE/START/SEQUENCE.jsonl
                                                                        └──▶ verification, account, cloudtrail

What an object store and a key have to do is written down as protocols (`Store`, `Signer`, `Trusted`); the command line
brings those of the model repository.
"""
