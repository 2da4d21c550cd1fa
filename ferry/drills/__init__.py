"""Drills: a fault is made on the rehearsed stack, and what the stack itself does about it is timed.

scene     what a drill is given       timeline  how it tells what happened     one module for each drill
"""
