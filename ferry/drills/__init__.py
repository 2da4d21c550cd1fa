"""Drills: a fault is made on the rehearsed stack, and what the stack itself does about it is timed.

scene        what a drill is given          timeline     how it tells what happened    one module for each drill
provisioned  what the account has           boots        how long new nodes take       replacement  how they come
timings      how long AWS lets one wait     traffic      a site under load             runner, text
"""
