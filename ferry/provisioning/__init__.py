"""What wraps the Pulumi CLI against a real account: `ferry up` and `ferry drift`. Plain `pulumi up` keeps working.

command   the CLI as a subprocess          preview   what it says of a run, as data
backend   where state and secrets may lie  price     what a stack costs an hour, before and after
drift     what somebody changed by hand, explained
"""
