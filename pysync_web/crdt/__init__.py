"""Conflict-free replicated data types: values that merge by themselves, whoever wrote what at the same time.

A state is JSON, ``{"$crdt": kind, …}``, so it lies in a document like any value. Equal histories give equal canonical
texts, whatever the order of merging.

============== ====================================== =========================
kind           operations                             value
============== ====================================== =========================
g_counter      Increment(amount ≥ 0)                  int
pn_counter     Increment(amount)                      int
lww_register   Assign(value, at)                      JSON, None before the first
mv_register    Replace(value), Clear()                list, in order
g_set          Add(element)                           list, in order
or_set         Add, Remove(element), Clear()          list, in order
or_map         Update(key, kind, operation),          dict
               Discard(key), Clear()
============== ====================================== =========================
"""

from .kind import State
from .maps import KINDS_IN_ORDER, MAX_NESTING
from .operations import MARK, Add, Assign, Clear, Discard, Increment, Operation, Remove, Replace, Update, holds_mark
from .state import (
    authors,
    change,
    check,
    check_delta,
    empty,
    includes,
    is_crdt,
    latest,
    merge,
    merge_all,
    restamped,
    value,
)

__all__ = [
    "KINDS_IN_ORDER",
    "MARK",
    "MAX_NESTING",
    "Add",
    "Assign",
    "Clear",
    "Discard",
    "Increment",
    "Operation",
    "Remove",
    "Replace",
    "State",
    "Update",
    "authors",
    "change",
    "check",
    "check_delta",
    "empty",
    "holds_mark",
    "includes",
    "is_crdt",
    "latest",
    "merge",
    "merge_all",
    "restamped",
    "value",
]
