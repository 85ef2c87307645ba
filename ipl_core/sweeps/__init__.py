"""Sweeps: tables of runs that an engine makes, one row a run, in this process, in others, or on a Ray cluster.

The room knows rows, files and processes, not what a run does: a task is a function that takes a run's settings and
gives its scores.
"""
