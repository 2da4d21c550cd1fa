"""Real traffic: the gateway at home, the cutover to the cloud and back, tokens, audit.

gateway/    Envoy's folder, its routes, its process, its admin endpoint
requests    one line of its access log
gate/       decides from requests: advance, hold, roll back
cutover/    moves the weights, step by step
tokens/     short-lived tokens, and the filters that check them
audit/      the access log as a chain that cannot be changed unseen
"""
