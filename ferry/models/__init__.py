"""The model repository: versions of models in S3, signed whole, and the channels that name the one to serve.

    names ── manifest ── signature ── repository ── channels      what is stored, and who vouches for it
    tree, lfs ── journal ── plan ── upload ── push            from a folder into the bucket
    download ── pull                                              from the bucket into a folder
    verification, pruning, difference                             what can be asked of it

`transport.Transport` is the one place where bytes and requests leave: `s3` asks S3 through botocore, `direct` moves
bytes and lists.
"""
