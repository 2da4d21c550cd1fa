"""Whether a confidential machine is what it says, decided outside of it; and a secret for it, only then.

report     what AMD's secure processor says of a guest      chain    who signed that, up to AMD's own root
verification  what has to hold of both, each with its reason
nonces     a number that is good for one answer             release  the secret, encrypted for the guest that answered
"""
