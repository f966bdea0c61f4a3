"""Closing sockets and signalling a process: plan, typed word, act, fresh look, log.

Owns every action that sockui can take. Must not choose what to act on or draw (``tui``), and acts on nothing but what
a plan shows: a socket is named by its cookie, a process by its start time.
"""

from sockui.actions.plan import Plan, plan_close, plan_signal
from sockui.actions.run import Outcome, run

__all__ = ["Outcome", "Plan", "plan_close", "plan_signal", "run"]
