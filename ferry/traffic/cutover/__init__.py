"""`ferry cutover` and `ferry rollback`: traffic from home to the cloud, step by step, and back in one.

state        what a controller has to remember when it dies, and the fence
weights      where shares are set: the gateway's routes, or (load_balancer) the listener of an ALB
observation  what is seen of both sides: the gateway's logs, or (cloudwatch) the load balancer's metrics
warmth       whether the engine at home would answer
watch        one step, until there is something to do
controller   one step after the other
rollback     home, whatever a controller does
"""
